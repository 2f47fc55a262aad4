//! The filter's module in a real Envoy: what services and clients get, whatever they send and whatever fails.

#[cfg(test)]
mod capability;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod gray;
#[cfg(test)]
mod ids;
#[cfg(test)]
mod trap;
