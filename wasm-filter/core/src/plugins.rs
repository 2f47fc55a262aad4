//! The configurations that one VM serves: Envoy starts one VM for all that share its id, its code and its
//! settings, and tells with each callback which stream it is for, but not which configuration.

use std::rc::Rc;

use crate::{Attribute, Config, ConfigError, Host, config::Rules};

/// Configurations that are kept. A listener that is updated brings its configuration again, under the
/// same name, and replaces it; more names than this are no gateway's.
const MAX_PLUGINS: usize = 64;

/// Every configuration of the VM, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Plugins {
    all: Vec<Plugin>,
    /// Not all of them say the same.
    differ: bool,
}

#[derive(Debug)]
struct Plugin {
    name: Vec<u8>,
    text: Vec<u8>,
    root: u32,
    rules: Rc<Rules>,
}

// === impl Plugins ===

impl Plugins {
    /// Takes the configuration of the plugin whose root context is `root`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if it is wrong; everything stays as it was, then.
    pub(crate) fn configure(
        &mut self,
        host: &impl Host,
        root: u32,
        text: &[u8],
    ) -> Result<Config, ConfigError> {
        let config = Config::parse(text)?;
        let name = host.attribute(Attribute::PluginName).unwrap_or_default();
        self.all
            .retain(|plugin| plugin.name != name && plugin.root != root);
        if self.all.len() >= MAX_PLUGINS {
            self.all.remove(0);
        }
        self.all.push(Plugin {
            name,
            text: text.to_owned(),
            root,
            rules: Rc::new(config.rules.clone()),
        });
        self.differ = self.all.iter().any(|plugin| plugin.text != text);
        Ok(config)
    }

    /// Returns the rules for the stream at hand; costs a host call only where there are several.
    pub(crate) fn rules(&self, host: &impl Host) -> Option<Rc<Rules>> {
        let latest = self.all.last()?;
        if !self.differ {
            return Some(Rc::clone(&latest.rules));
        }
        let name = host.attribute(Attribute::PluginName).unwrap_or_default();
        let named = self.all.iter().find(|plugin| plugin.name == name);
        Some(Rc::clone(&named.unwrap_or(latest).rules))
    }
}
