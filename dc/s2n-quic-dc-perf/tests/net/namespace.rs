// SPDX-License-Identifier: Apache-2.0

//! Two network namespaces, joined by a pair of virtual Ethernet devices.
//!
//! The one rule: whatever is made is removed on drop, also when a test panics, and the namespaces have no way out: the pair is all the
//! network there is in them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::{self, Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

/// Two namespaces whose devices see each other.
pub(crate) struct Pair {
    /// Where the server runs.
    pub(crate) server: Namespace,
    /// Where the client runs.
    pub(crate) client: Namespace,
}

/// One namespace, with one device.
pub(crate) struct Namespace {
    name: String,
    host: u8,
}

impl Pair {
    /// Makes both, with packets of up to `mtu` bytes on their devices and addresses of one IP version.
    ///
    /// # Errors
    ///
    /// What this system or this user cannot do.
    pub(crate) fn new(mtu: u16, is_v6: bool) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unique = format!("dc-perf-{}-{number}", process::id());
        let pair = Self {
            server: Namespace::new(format!("{unique}-server"), 1)?,
            client: Namespace::new(format!("{unique}-client"), 2)?,
        };
        pair.join(mtu, is_v6)?;
        Ok(pair)
    }

    fn join(&self, mtu: u16, is_v6: bool) -> Result<(), String> {
        let (server, client) = (&self.server, &self.client);
        // the devices are made where they belong, so that the namespace of this process never sees them
        ip(&format!(
            "link add {DEVICE} netns {} type veth peer name {DEVICE} netns {}",
            server.name, client.name
        ))?;
        for end in [server, client] {
            let name = &end.name;
            ip(&format!("-n {name} link set lo up"))?;
            // batches are cut into datagrams before they get here, so that the device counts datagrams
            ip(&format!(
                "-n {name} link set {DEVICE} mtu {mtu} gso_max_segs 1"
            ))?;
            let address = end.address(is_v6);
            // without duplicate address detection, which takes a second or two before an IPv6 address can be used
            let (length, flag) = if is_v6 { (64, " nodad") } else { (24, "") };
            ip(&format!(
                "-n {name} addr add {address}/{length} dev {DEVICE}{flag}"
            ))?;
            ip(&format!("-n {name} link set {DEVICE} up"))?;
        }
        Ok(())
    }
}

impl Namespace {
    fn new(name: String, host: u8) -> Result<Self, String> {
        ip(&format!("netns add {name}"))?;
        Ok(Self { name, host })
    }

    /// What `ip netns` calls it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The address of the device: from blocks that are for documentation and for private use, and routed nowhere.
    pub(crate) fn address(&self, is_v6: bool) -> IpAddr {
        let host = self.host;
        if is_v6 {
            Ipv6Addr::new(0xfd00, 0xdc, 0, 0, 0, 0, 0, host.into()).into()
        } else {
            Ipv4Addr::new(192, 0, 2, host).into()
        }
    }

    /// `program`, to be run in the namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        // `ip netns exec` becomes the program: signals for one are for the other
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// A counter of the device, such as `tx_bytes`.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let file = format!("/sys/class/net/{DEVICE}/statistics/{name}");
        let output = self.command("cat").arg(&file).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().parse().unwrap()
    }

    /// The routes of both IP versions, as text.
    pub(crate) fn routes(&self) -> String {
        let name = &self.name;
        let show = |version| ip(&format!("-n {name} {version} route show table all")).unwrap();
        show("-4") + &show("-6")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // its device goes with it, and by that the other end
        if let Err(error) = ip(&format!("netns del {}", self.name)) {
            eprintln!("the network namespace {} is left over: {error}", self.name);
        }
    }
}

/// The names of all namespaces that there are.
pub(crate) fn list() -> String {
    ip("netns list").unwrap()
}

/// Runs `ip` with `arguments`, and returns what it printed.
fn ip(arguments: &str) -> Result<String, String> {
    let output: io::Result<Output> = Command::new("ip").args(arguments.split(' ')).output();
    match output {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            Err(format!("ip {arguments}: {}", error.trim()))
        }
        Err(error) => Err(format!("ip {arguments}: {error}")),
    }
}

/// The device's name, in each namespace.
const DEVICE: &str = "dc0";
