//! Loads, verifies and attaches the programs; dropping what it returns detaches them, unless their
//! links are pinned.

use std::{fs::File, os::fd::AsFd as _, thread};

use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    maps::{Array, Map, MapData, MapError, PerCpuArray},
    programs::{BtfTracePoint, CgroupSockAddr, Iter, Program, ProgramError, ProgramInfo, SockOps},
};
use syntrace_cgroup_link::{Hook, Link, Ring};
use syntrace_ebpf_common::{CONFIG_LEN, Config, Flags, NETWORKS_LEN};

use crate::{
    attach::attach,
    followed::{Followed, LIVE},
    kernel_types::KernelTypes,
    load_error::{LoadError, chain, unsupported, verify},
    network::{Network, list},
    older_listeners::{self, Place},
    pins::Pins,
    reset_reasons::ResetReasons,
    rung::{Capability, Ladder},
    settings::RingBytes,
};

/// The object that `build.rs` built.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/syntrace-ebpf"));

/// The programs' names, as `bpftool prog` shows them.
const CONNECTIONS: &str = "connections";
const TAGS: &str = "tags";
const ACCEPTS: [(&str, Hook); 2] = [
    ("accepts_ipv4", Hook::GetPeerName4),
    ("accepts_ipv6", Hook::GetPeerName6),
];
const RESETS: &str = "resets";

/// The program that visits sockets, and what it iterates over.
pub(crate) const OLDER_LISTENERS: &str = "older_listeners";
const TCP: &str = "tcp";

/// The tracepoint of [`RESETS`].
const SEND_RESET: &str = "tcp_send_reset";

/// The ring of snapshots.
const EVENTS: &str = "EVENTS";

/// The slot of the `CONFIG` map, as raw bytes: its type belongs to another package.
pub(crate) type ConfigMap = Array<MapData, [u8; CONFIG_LEN]>;

/// Programs that the verifier accepted, with their maps.
#[derive(Debug)]
pub(crate) struct Loaded {
    ebpf: Ebpf,
    /// Why older listeners cannot be visited; `None` where they can.
    older: Option<String>,
    /// Links that nothing else keeps.
    links: Vec<Link>,
    /// Names of all links to the cgroup.
    attached: Vec<&'static str>,
    /// What the kernel calls its reasons for an RST.
    pub(crate) reset_reasons: ResetReasons,
    /// What is on, as far as the programs decide it.
    pub(crate) ladder: Ladder,
}

// === impl Loaded ===

impl Loaded {
    /// Loads all programs and has them verified.
    ///
    /// A program that only one capability needs may fail: then the ladder says so. Maps that are
    /// among `pins` are used, and others pinned there. A ring that is made has `ring_bytes`, or what
    /// the object says. What is in `without` is left out, where it is chosen by loading.
    ///
    /// # Kernel
    ///
    /// Linux 6.10 (`bpf_get_current_pid_tgid` in every program type), cgroup v2, BTF; CAP_BPF,
    /// CAP_NET_ADMIN and CAP_PERFMON.
    ///
    /// # Errors
    ///
    /// [`LoadError`] explains what the kernel or the process lacks.
    pub(crate) fn load(
        pins: Option<&Pins>,
        ring_bytes: Option<RingBytes>,
        without: &[Capability],
    ) -> Result<Self, LoadError> {
        let mut types = KernelTypes::read();
        let reset_reasons = types.reset_reasons().clone();
        if without.contains(&Capability::CloseReason) {
            types = types.without_errors();
        }
        let loaded = match Self::load_with(&types, pins, ring_bytes) {
            Err(refused @ LoadError::Refused { .. }) if types.are_known() => {
                tracing::debug!(%refused, "Loading again without kernel fields");
                let types = KernelTypes::unknown(refused.to_string());
                Self::load_with(&types, pins, ring_bytes)
            }
            loaded => loaded,
        };
        let loaded = loaded.map_err(LoadError::or_lack)?;
        Ok(Self {
            reset_reasons,
            ..loaded
        })
    }

    fn load_with(
        types: &KernelTypes,
        pins: Option<&Pins>,
        ring_bytes: Option<RingBytes>,
    ) -> Result<Self, LoadError> {
        let mut ladder = Ladder::of_this_version();
        if let Some(reason) = types.lack_errors() {
            ladder.lose(Capability::CloseReason, reason);
        }
        let mut loader = EbpfLoader::new();
        if let Some(pins) = pins {
            pins.share(&mut loader);
        }
        if let Some(RingBytes(bytes)) = ring_bytes {
            loader.map_max_entries(EVENTS, bytes);
        }
        for (name, number) in types.globals() {
            loader.override_global(name, number, true);
        }
        let object = types.resolve(OBJECT);
        let mut ebpf = loader
            // Nothing in the object is left to be relocated against the kernel's types: not parsed.
            .btf(None)
            .load(&object)
            .map_err(unsupported)?;
        for name in [CONNECTIONS, TAGS] {
            verify(name, program::<SockOps>(&mut ebpf, name)?.load())?;
        }
        for (name, _) in ACCEPTS {
            let accepts: &mut CgroupSockAddr = program(&mut ebpf, name)?;
            if let Err(error) = verify(name, accepts.load()) {
                ladder.lose(Capability::AcceptWait, &error.to_string());
            }
        }
        // On a thread of its own: what the allocator got for the kernel's types, it gives back there.
        let typed = thread::scope(|scope| scope.spawn(|| load_typed(&mut ebpf)).join());
        let [resets, older] = match typed.unwrap_or(Err(LoadError::Incomplete(RESETS))) {
            Ok(each) => each.map(|loaded| loaded.err().map(|error| error.to_string())),
            Err(error) => [(); 2].map(|()| Some(error.to_string())),
        };
        if let Some(reason) = resets {
            ladder.lose(Capability::ResetReason, &reason);
        }
        let mut loaded = Self {
            ebpf,
            older,
            links: Vec::new(),
            attached: Vec::new(),
            reset_reasons: ResetReasons::default(),
            ladder,
        };
        loaded.ladder.sockets_map_id = loaded.sockets_map_id();
        for (program, instructions) in loaded.verified_instructions() {
            tracing::debug!(program, instructions, "Verified program");
        }
        Ok(loaded)
    }

    /// Returns each program's name and how many instructions the verifier looked at.
    pub(crate) fn verified_instructions(&self) -> Vec<(&str, u32)> {
        let count =
            |(name, info): (_, ProgramInfo)| Some((name, info.verified_instruction_count()?));
        self.programs().filter_map(count).collect()
    }

    /// Returns each program with what the kernel says of it.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (&str, ProgramInfo)> {
        let info = |(name, program): (_, &Program)| Some((name, program.info().ok()?));
        self.ebpf.programs().filter_map(info)
    }

    /// Returns the maps that programs share with user space, or keep state in.
    pub(crate) fn maps(&self) -> impl Iterator<Item = (&str, &MapData)> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a test names the maps; those of new kinds are missed there"
        )]
        self.ebpf.maps().filter_map(|(name, map)| match map {
            Map::Array(data)
            | Map::PerCpuArray(data)
            | Map::RingBuf(data)
            | Map::SkStorage(data)
            | Map::LruHashMap(data)
            | Map::HashMap(data) => Some((name, data)),
            _ => None,
        })
    }

    /// Returns the kernel's id of the map that holds the sockets which the programs follow; 0 if it has none.
    fn sockets_map_id(&self) -> u32 {
        let live = self.maps().find(|&(name, _)| name == LIVE);
        let info = live.and_then(|(_, map)| map.info().ok());
        info.map_or(0, |info| info.id())
    }

    /// Returns `config`, with what the programs that are loaded can do.
    pub(crate) fn able(&self, config: Config) -> Config {
        let can = |capability, flag| match self.ladder.reason(capability) {
            None => flag,
            Some(_) => Flags::default(),
        };
        let flags = can(Capability::ResetReason, Flags::RESET_REASON);
        Config {
            flags: config.flags.union(flags),
            ..config
        }
    }

    /// Fills in which networks are tagged and believed.
    ///
    /// # Errors
    ///
    /// Fails if a map is missing.
    pub(crate) fn order(
        &mut self,
        tag_to: &[Network],
        believe_from: &[Network],
    ) -> Result<(), LoadError> {
        for (name, networks) in [("TAG_TO", tag_to), ("BELIEVE_FROM", believe_from)] {
            let map = self.ebpf.map_mut(name).ok_or(LoadError::Incomplete(name))?;
            let mut map: Array<_, [u8; NETWORKS_LEN]> = map.try_into().map_err(unsupported)?;
            map.set(0, list(networks).to_bytes(), 0)
                .map_err(unsupported)?;
        }
        Ok(())
    }

    /// Returns the sockets that the programs follow at present.
    ///
    /// # Errors
    ///
    /// Fails if a map is missing, or is not what the programs' source says.
    pub(crate) fn followed(&self) -> Result<Followed<'_>, LoadError> {
        Followed::by(&self.ebpf)
    }

    /// Returns why listeners that are older than the programs cannot be put under watch; `None` where
    /// they can.
    pub(crate) fn lacks_older(&self) -> Option<&str> {
        self.older.as_deref()
    }

    /// Puts listeners under watch that are older than the programs.
    ///
    /// # Errors
    ///
    /// One line of what was refused.
    pub(crate) fn watch_older(&mut self, places: &[Place]) -> Result<(), String> {
        if let Some(reason) = self.lacks_older() {
            return Err(reason.to_owned());
        }
        older_listeners::watch(&mut self.ebpf, places).map_err(|error| error.to_string())
    }

    /// Takes the slot of orders out.
    pub(crate) fn take_config(&mut self) -> Result<ConfigMap, LoadError> {
        self.take("CONFIG")
    }

    /// Returns the reader's end of the ring of snapshots.
    ///
    /// # Errors
    ///
    /// Fails if the map is missing, or cannot be read.
    pub(crate) fn events(&self) -> Result<Ring, LoadError> {
        let Some(Map::RingBuf(map)) = self.ebpf.map(EVENTS) else {
            return Err(LoadError::Incomplete(EVENTS));
        };
        let map = map.fd().as_fd().try_clone_to_owned();
        map.and_then(Ring::new).map_err(LoadError::Events)
    }

    /// Takes the counters out.
    pub(crate) fn take_counters(&mut self) -> Result<PerCpuArray<MapData, u64>, LoadError> {
        self.take("COUNTERS")
    }

    fn take<M: TryFrom<Map, Error = MapError>>(
        &mut self,
        name: &'static str,
    ) -> Result<M, LoadError> {
        let map = self
            .ebpf
            .take_map(name)
            .ok_or(LoadError::Incomplete(name))?;
        M::try_from(map).map_err(unsupported)
    }

    /// Attaches the programs to `cgroup`, or puts them in the place of those whose links are pinned;
    /// but for those of which only capabilities have a use that are off.
    ///
    /// # Errors
    ///
    /// [`LoadError::Attach`] if the kernel refuses the program for callbacks; where it refuses another, the
    /// ladder says so.
    pub(crate) fn attach(&mut self, cgroup: &File, pins: Option<&Pins>) -> Result<(), LoadError> {
        // Under one name, so that either takes the other's place.
        let follows = match self.ladder.reason(Capability::LifeCycle) {
            None => CONNECTIONS,
            Some(_) => TAGS,
        };
        self.attach_one(follows, CONNECTIONS, Hook::SockOps, cgroup, pins)?;
        let is_on = |ladder: &Ladder, capability| {
            ladder.reason(Capability::LifeCycle).is_none() && ladder.reason(capability).is_none()
        };
        if is_on(&self.ladder, Capability::ResetReason)
            && let Err(error) = program::<BtfTracePoint>(&mut self.ebpf, RESETS)?.attach()
        {
            self.ladder.lose(Capability::ResetReason, &chain(&error));
        }
        for (name, hook) in ACCEPTS {
            if is_on(&self.ladder, Capability::AcceptWait)
                && let Err(error) = self.attach_one(name, name, hook, cgroup, pins)
            {
                self.ladder.lose(Capability::AcceptWait, &error.to_string());
            }
        }
        Ok(())
    }

    fn attach_one(
        &mut self,
        program: &str,
        name: &'static str,
        hook: Hook,
        cgroup: &File,
        pins: Option<&Pins>,
    ) -> Result<(), LoadError> {
        let program = self.ebpf.program(program);
        let program = program.ok_or(LoadError::Incomplete(name))?;
        let program = program.fd().map_err(unsupported)?.as_fd();
        let refused = |source| LoadError::Attach {
            program: name,
            source,
        };
        let link = attach(program, hook, name, cgroup, pins).map_err(refused)?;
        self.links.extend(link);
        self.attached.push(name);
        Ok(())
    }

    /// Returns the names of the links by which programs are attached to the cgroup.
    pub(crate) fn attached(&self) -> &[&'static str] {
        &self.attached
    }
}

/// Returns the program `name`, which is of type `P`.
fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, LoadError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or(LoadError::Incomplete(name))?;
    program.try_into().map_err(unsupported)
}

/// Loads the program for RSTs and that for older listeners: the kernel wants to know by its number
/// what they are called for.
fn load_typed(ebpf: &mut Ebpf) -> Result<[Result<(), LoadError>; 2], LoadError> {
    let types = Btf::from_sys_fs().map_err(|error| unsupported(EbpfError::BtfError(error)))?;
    let resets: &mut BtfTracePoint = program(ebpf, RESETS)?;
    let resets = verify(RESETS, resets.load(SEND_RESET, &types));
    let older: &mut Iter = program(ebpf, OLDER_LISTENERS)?;
    let older = verify(OLDER_LISTENERS, older.load(TCP, &types));
    Ok([resets, older])
}
