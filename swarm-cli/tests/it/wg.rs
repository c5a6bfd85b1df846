//! `swarm wg` under wg and wg-quick.

use std::fmt::Write as _;

use crate::lab::{Lab, SIDES, run, until};
use crate::program::file;

#[test]
fn wg_quick_runs_tunnels_on_the_program_and_takes_them_down() {
    let test = "wg_quick_runs_tunnels_on_the_program_and_takes_them_down";
    let Some(lab) = Lab::new(test, &["ip", "ping", "wg", "wg-quick", "bash"]) else {
        return;
    };
    let wg_quick = lab.wg_quick();
    // one side by the name that wg-quick is told, the other by the name that it knows
    lab.link("swarm-wg");
    lab.link("wireguard-go");
    let keys = SIDES.map(|_| swarm_wg::PrivateKey::generate().unwrap());
    let publics = keys.each_ref().map(|key| key.public_key().to_string());
    for (index, side) in SIDES.into_iter().enumerate() {
        let other = SIDES[1 - index].0;
        let mut text = String::from("[Interface]\n");
        writeln!(text, "PrivateKey = {}", keys[index].to_base64().as_str()).unwrap();
        writeln!(text, "ListenPort = 5182{}", side.0).unwrap();
        writeln!(text, "Address = 10.99.{0}.1/32, fd99:{0}::1/128", side.0).unwrap();
        writeln!(text, "[Peer]\nPublicKey = {}", publics[1 - index]).unwrap();
        writeln!(text, "Endpoint = 192.0.2.{other}:5182{other}").unwrap();
        writeln!(text, "AllowedIPs = 10.99.{other}.0/24, fd99:{other}::/64").unwrap();
        let configuration = file(
            lab.directory.path(),
            &format!("{}.conf", lab.interface(side)),
            &text,
        );
        let configuration = configuration.to_str().unwrap();
        let mut up = lab.command(side, &wg_quick, &["up", configuration]);
        if index == 0 {
            up.env("WG_QUICK_USERSPACE_IMPLEMENTATION", "swarm-wg");
        }
        run(&mut up).success();
    }

    for (index, side) in SIDES.into_iter().enumerate() {
        let shown = run(&mut lab.command(side, "wg", &["show", &lab.interface(side)])).success();
        let other = SIDES[1 - index].0;
        for wanted in [
            format!("public key: {}", publics[index]),
            format!("listening port: 5182{}", side.0),
            format!("peer: {}", publics[1 - index]),
            format!("endpoint: 192.0.2.{other}:5182{other}"),
            format!("allowed ips: 10.99.{other}.0/24, fd99:{other}::/64"),
        ] {
            assert!(shown.contains(&wanted), "{wanted} is not in: {shown}");
        }
        for address in [format!("10.99.{other}.1"), format!("fd99:{other}::1")] {
            let ping = ["-c", "1", "-W", "5", "-n", &address];
            run(&mut lab.command(side, "ping", &ping)).success();
        }
    }

    for side in SIDES {
        assert_eq!(lab.processes(side).len(), 1, "{side:?}");
        let configuration = format!("{}.conf", lab.interface(side));
        let configuration = lab.directory.path().join(configuration);
        let arguments = ["down", configuration.to_str().unwrap()];
        run(&mut lab.command(side, &wg_quick, &arguments)).success();
        lab.assert_gone(side);
    }
}

#[test]
fn a_tunnel_in_the_background_answers_wg_and_ends_with_its_interface_or_socket() {
    let test = "a_tunnel_in_the_background_answers_wg_and_ends_with_its_interface_or_socket";
    let Some(lab) = Lab::new(test, &["ip", "wg"]) else {
        return;
    };
    let side = SIDES[0];
    let interface = lab.interface(side);
    let swarm =
        |arguments: &[&str]| run(&mut lab.command(side, env!("CARGO_BIN_EXE_swarm"), arguments));
    let remove_interface = || lab.ip(side, &["link", "del", &interface]);
    let remove_socket = || std::fs::remove_file(lab.socket(side)).unwrap();
    let removals: [&dyn Fn(); 2] = [&remove_interface, &remove_socket];
    for remove in removals {
        // once it returns, both are there: no waiting
        assert_eq!(swarm(&["wg", &interface]).success(), "");
        assert!(lab.socket(side).exists());
        let shown = run(&mut lab.command(side, "wg", &["show", &interface])).success();
        assert!(
            shown.contains(&format!("interface: {interface}")),
            "{shown}"
        );
        let link = run(&mut lab.command(side, "ip", &["link", "show", &interface])).success();
        assert!(!link.contains(",UP"), "{link}");
        assert_eq!(lab.processes(side).len(), 1);

        // a second one is told so, by the process in the foreground
        swarm(&["wg", &interface]).failure(3, &["another process has it"]);
        assert_eq!(lab.processes(side).len(), 1);

        remove();
        lab.assert_gone(side);
    }
}

#[test]
fn a_tunnel_in_the_foreground_ends_in_order_when_it_is_told_to() {
    let test = "a_tunnel_in_the_foreground_ends_in_order_when_it_is_told_to";
    let Some(lab) = Lab::new(test, &["ip", "wg"]) else {
        return;
    };
    let side = SIDES[0];
    let interface = lab.interface(side);
    for (arguments, foreground, signal) in [
        (
            &["wg", "-f", &interface][..],
            "0",
            rustix::process::Signal::TERM,
        ),
        (&["wg", &interface], "1", rustix::process::Signal::INT),
    ] {
        let mut command = lab.command(side, env!("CARGO_BIN_EXE_swarm"), arguments);
        command.env("WG_PROCESS_FOREGROUND", foreground);
        let mut child = command.spawn().unwrap();
        until("the socket is there", || lab.socket(side).exists());
        run(&mut lab.command(side, "wg", &["show", &interface])).success();
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        until("the process ends", || child.try_wait().unwrap().is_some());
        assert!(child.wait().unwrap().success(), "{arguments:?}");
        lab.assert_gone(side);
    }
}
