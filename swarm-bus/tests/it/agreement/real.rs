//! The real server.

use crate::rig::{nats_server, skip};
use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use swarm_bus::permissions::Permissions;
use tempfile::TempDir;
use test_port::Port;

/// A nats-server without TLS, whose users have passwords.
pub(super) struct Real {
    pub(super) port: Port,
    child: Child,
    directory: TempDir,
}

impl Real {
    /// Starts a server; `None`, said aloud, where there is no program.
    pub(super) fn start(test: &str, users: &[(&str, Permissions)]) -> Option<Self> {
        let program = nats_server(test)?;
        let version = Command::new(&program).arg("--version").output().unwrap();
        let version = String::from_utf8(version.stdout).unwrap();
        if !version.contains("v2.9.") {
            return skip(
                test,
                &format!("the server in the process is 2.9's alike, not {version}"),
            );
        }
        let directory = tempfile::tempdir().unwrap();
        let port = Port::free();
        let mut config = format!(
            "listen: \"127.0.0.1:{port}\"\nserver_name: real\njetstream {{store_dir: \"{}\"}}\n\
             authorization {{users: [\n",
            directory.path().display()
        );
        for (user, permissions) in users {
            let permissions = write_permissions(permissions);
            writeln!(
                config,
                "{{user: {user}, password: p, permissions: {{{permissions}}}}}"
            )
            .unwrap();
        }
        config.push_str("]}\n");
        std::fs::write(directory.path().join("nats.conf"), config).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(directory.path().join("nats.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let real = Self {
            port,
            child,
            directory,
        };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", real.port.number())).is_ok() {
                return Some(real);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(real.directory.path().join("log")).unwrap();
        panic!("nats-server does not answer:\n{log}");
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_permissions(permissions: &Permissions) -> String {
    let mut text = String::new();
    for (kind, allow, deny) in [
        (
            "publish",
            &permissions.publish_allow,
            &permissions.publish_deny,
        ),
        (
            "subscribe",
            &permissions.subscribe_allow,
            &permissions.subscribe_deny,
        ),
    ] {
        let lists = [("allow", allow), ("deny", deny)];
        let lists = lists.iter().filter(|(_, list)| !list.is_empty());
        let lists: Vec<String> = lists
            .map(|(name, list)| format!("{name}: {}", serde_json::to_string(list).unwrap()))
            .collect();
        if !lists.is_empty() {
            write!(text, "{kind}: {{{}}}, ", lists.join(", ")).unwrap();
        }
    }
    if let Some(responses) = permissions.allow_responses {
        let expires = responses.expires.as_secs();
        write!(
            text,
            "allow_responses: {{max: {}, expires: \"{expires}s\"}}",
            responses.max
        )
        .unwrap();
    }
    text
}
