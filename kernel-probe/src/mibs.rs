//! The counters of a network namespace that tell of connections which never became a socket.

/// What is used of `net/netstat`; counted since the namespace began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mibs {
    /// `ListenOverflows`: a SYN or an ACK found the accept queue full.
    pub(crate) accept_overflows: u64,
    /// `TCPReqQFullDrop`: a SYN found the SYN queue full and was dropped.
    pub(crate) syn_overflows: u64,
    /// `SyncookiesSent`: a SYN was answered by a cookie.
    pub(crate) cookies_sent: u64,
}

impl Mibs {
    /// Reads the file `net/netstat` of a process in the namespace.
    pub(crate) fn parse(text: &str) -> Self {
        // Each line of names, with the line of numbers below it; unknown names are skipped.
        let mut mibs = Self::default();
        let mut lines = text.lines();
        while let (Some(names), Some(numbers)) = (lines.next(), lines.next()) {
            let names = names.split_ascii_whitespace();
            for (name, number) in names.zip(numbers.split_ascii_whitespace()) {
                let slot = match name {
                    "ListenOverflows" => &mut mibs.accept_overflows,
                    "TCPReqQFullDrop" => &mut mibs.syn_overflows,
                    "SyncookiesSent" => &mut mibs.cookies_sent,
                    _ => continue,
                };
                *slot = number.parse().unwrap_or(0);
            }
        }
        mibs
    }

    /// Returns what was counted since `earlier`.
    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self {
            accept_overflows: self
                .accept_overflows
                .saturating_sub(earlier.accept_overflows),
            syn_overflows: self.syn_overflows.saturating_sub(earlier.syn_overflows),
            cookies_sent: self.cookies_sent.saturating_sub(earlier.cookies_sent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_below_their_names() {
        let text = "TcpExt: SyncookiesSent Other ListenOverflows TCPReqQFullDrop\n\
                    TcpExt: 3 99 5 7\nIpExt: InNoRoutes\nIpExt: 0\n";
        let mibs = Mibs::parse(text);
        assert_eq!(
            (mibs.cookies_sent, mibs.accept_overflows, mibs.syn_overflows),
            (3, 5, 7)
        );
        assert_eq!(mibs.since(mibs), Mibs::default());
    }
}
