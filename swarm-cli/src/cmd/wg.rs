//! `swarm wg`: a WireGuard interface for `wg` and `wg-quick`, in wireguard-go's place.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::stdio::{dup2_stderr, dup2_stdout};
use swarm_wg::{InterfaceName, Tunnel, TunnelConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::report::Failure;

/// What the process in the background says once the interface and the socket are there.
const READY: &[u8] = b"ready\n";
/// How long a signal may go unheard while the tunnel is watched.
const WATCH: Duration = Duration::from_millis(250);

/// Make a WireGuard interface, and leave its configuration to wg and wg-quick, as wireguard-go does
///
/// It goes to the background once the interface and /var/run/wireguard/IFNAME.sock are there. It ends when
/// either is removed, or by SIGINT or SIGTERM, and takes both with it. The interface has no key, no address
/// and no peer, and is down, until somebody says otherwise.
///
/// A link to this program that is called wireguard-go or swarm-wg takes the arguments of swarm wg.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  swarm wg wg0\n  \
    ln -s \"$(command -v swarm)\" /usr/local/bin/swarm-wg\n  \
    WG_QUICK_USERSPACE_IMPLEMENTATION=swarm-wg wg-quick up wg0\n\n\
    Environment:\n  \
    WG_PROCESS_FOREGROUND=1  the same as --foreground\n  \
    LOG_LEVEL                verbose, error or silent; what runs in the background is heard only with it")]
pub(crate) struct Wg {
    /// Stay in the foreground
    #[arg(short, long)]
    foreground: bool,
    /// Name of the interface
    #[arg(value_name = "IFNAME")]
    interface: InterfaceName,
    /// This is the process in the background, and its output a pipe to the one that waits for it
    #[arg(long, hide = true)]
    detached: bool,
}

impl Wg {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let asked = std::env::var_os("WG_PROCESS_FOREGROUND").is_some_and(|value| value == "1");
        if self.detached {
            // refused only to the leader of a group, which is what it would become
            let _ = rustix::process::setsid();
            self.serve(tell)
        } else if self.foreground || asked {
            self.serve(|| Ok(()))
        } else {
            self.detach()
        }
    }

    /// Starts this program again in the background, and returns once that one is ready or has failed.
    fn detach(&self) -> Result<ExitCode, Failure> {
        let failed =
            |error| Failure::environment(format!("cannot start in the background: {error}"));
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["wg", "--detached", "--", self.interface.as_str()])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut said = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            pipe.take(READY.len() as u64)
                .read_to_end(&mut said)
                .map_err(failed)?;
        }
        if said == READY {
            return Ok(ExitCode::SUCCESS);
        }
        // it has said why on the standard error that it shares with this process
        let code = child.wait().map_err(failed)?.code();
        Ok(ExitCode::from(
            code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
        ))
    }

    /// Runs the tunnel until it is over.
    fn serve(self, ready: impl FnOnce() -> std::io::Result<()>) -> Result<ExitCode, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::environment(format!("cannot start the runtime: {error}")))?;
        runtime.block_on(async {
            // before the interface is made: a signal must not leave the socket behind
            let watch = |kind| {
                signal(kind)
                    .map_err(|error| Failure::environment(format!("cannot watch signals: {error}")))
            };
            let signals = [
                watch(SignalKind::interrupt())?,
                watch(SignalKind::terminate())?,
            ];
            let tunnel =
                Tunnel::start(TunnelConfig::bare(self.interface)).map_err(swarm::Error::from)?;
            ready().map_err(|error| {
                Failure::environment(format!("cannot go to the background: {error}"))
            })?;
            over(Arc::new(tunnel), signals).await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Tells the process that waits, and lets go of the terminal.
fn tell() -> std::io::Result<()> {
    std::io::stdout().write_all(READY)?;
    std::io::stdout().flush()?;
    let null = File::options().write(true).open("/dev/null")?;
    dup2_stdout(&null)?;
    if matches!(log_filter(), None | Some("off")) {
        dup2_stderr(&null)?;
    }
    Ok(())
}

/// Waits for a signal, or for somebody to remove the interface or the socket.
async fn over(tunnel: Arc<Tunnel>, [mut interrupt, mut terminate]: [Signal; 2]) {
    let closed = async {
        loop {
            let tunnel = Arc::clone(&tunnel);
            let look = tokio::task::spawn_blocking(move || tunnel.wait_closed(WATCH));
            if look.await.unwrap_or(true) {
                break;
            }
        }
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = closed => {}
    }
}

/// The log filter that wireguard-go's `LOG_LEVEL` asks for.
pub(crate) fn log_filter() -> Option<&'static str> {
    filter(std::env::var("LOG_LEVEL").ok()?.as_str())
}

fn filter(level: &str) -> Option<&'static str> {
    match level {
        "verbose" | "debug" => Some("debug"),
        "error" => Some("error"),
        "silent" => Some("off"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn log_levels_are_those_of_wireguard_go() {
        assert_eq!(filter("verbose"), Some("debug"));
        assert_eq!(filter("error"), Some("error"));
        assert_eq!(filter("silent"), Some("off"));
        assert_eq!(filter("loud"), None);
    }
}
