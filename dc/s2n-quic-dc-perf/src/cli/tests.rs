// SPDX-License-Identifier: Apache-2.0

//! Tests of the command line: what is run, what is refused, and what the user reads then.

mod peers;

use super::output::JsonTo;
use super::{output::Detail, plan::*, *};
use crate::workload::{default_set, Fanout, Workload};
use clap::error::ErrorKind;
use std::path::Path;

fn read(args: &str) -> Result<Command, clap::Error> {
    command(["dc-perf"].into_iter().chain(args.split_whitespace()))
}

fn run(args: &str) -> RunPlan {
    match read(args).unwrap() {
        Command::Run(plan) => plan,
        other => panic!("{other:?}"),
    }
}

fn only_workload(args: &str) -> Workload {
    let [workload] = <[Workload; 1]>::try_from(run(args).workloads).unwrap();
    workload
}

fn client(args: &str) -> Result<ClientPlan, clap::Error> {
    read(&format!("client {args}")).map(|command| match command {
        Command::Client(plan) => plan,
        other => panic!("{other:?}"),
    })
}

/// The message of a usage error.
fn refused(args: &str) -> String {
    let error = read(args).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{args}: {error}");
    error.to_string()
}

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads.toml");
    path.to_str().unwrap().to_owned()
}

const PRINT: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_default_set_runs_with_or_without_the_subcommand() {
    let plan = run("");
    assert_eq!(plan, run("run"));
    assert_eq!(plan.workloads, default_set());
    assert_eq!((plan.outputs.json, plan.outputs.plot), (None, None));
    assert_eq!(plan.outputs.detail, Detail::Normal);
}

#[test]
fn options_mean_the_same_with_or_without_the_subcommand() {
    let args = "--workload upload --streams 3 --bytes 64KiB --duration 2s --clients 2 --quiet";
    assert_eq!(run(args), run(&format!("run {args}")));
    let workload = only_workload(args);
    assert_eq!(workload.name, "upload 3 x 64 KiB for 2 s, 2 clients");
    assert_eq!(
        (workload.mtu, workload.timeout),
        (1450, Duration::from_secs(120))
    );
}

#[test]
fn every_option_of_calls_arrives() {
    let workload = only_workload(
        "--workload rpc --streams 8 --request 2KiB --response 1MB --peers 5 --quorum 3 \
         --hedge-after 100us --losers cancel --mtu 8912 --timeout 30s",
    );
    let expected = Fanout {
        peers: 5,
        quorum: 3,
        hedge_after: Some(Duration::from_micros(100)),
        losers: Losers::Cancel,
    };
    assert_eq!(workload.fanout, expected);
    assert_eq!(workload.mix[0].request.bytes(), 2048);
    assert_eq!(workload.mix[0].response.bytes(), 1_000_000);
    assert_eq!((workload.streams, workload.mtu), (8, 8912));
    assert_eq!(workload.timeout, Duration::from_secs(30));
    assert_eq!(only_workload("--workload mixed --calls 7").calls, 7);
}

#[test]
fn mtu_and_timeout_are_for_all_workloads_of_a_set() {
    let file = format!("--config {} ", example());
    for set in ["", &file] {
        let plan = run(&format!("{set}--mtu 1200 --timeout 1h"));
        assert!(plan.workloads.len() > 1);
        for workload in plan.workloads {
            workload.validate().unwrap();
            assert_eq!((workload.mtu, workload.timeout.as_secs()), (1200, 3600));
        }
    }
    // what the file says counts if nothing else was said
    let incast = only_workload(&format!("{file}--only incast"));
    assert_eq!((incast.mtu, incast.timeout.as_secs()), (1450, 120));
}

#[test]
fn other_numbers_need_a_workload() {
    let file = format!("--config {}", example());
    for option in [
        "--streams 3",
        "--bytes 1MB",
        "--duration 1s",
        "--clients 2",
        "--request 1KiB",
        "--response 1KiB",
        "--calls 2",
        "--peers 2",
        "--quorum 1",
        "--hedge-after 1ms",
        "--losers cancel",
    ] {
        let (name, _) = option.split_once(' ').unwrap();
        for set in ["", &file, "run"] {
            let error = read(&format!("{set} {option}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
            assert_eq!(error.exit_code(), 2);
            let text = error.to_string();
            assert!(
                text.contains(&format!("{name} needs --workload, such as ")),
                "{text}"
            );
        }
        // the example in the message has the option, though not always alone
        let text = refused(option);
        let (_, rest) = text.split_once("such as ").unwrap();
        let (example, _) = rest.split_once(':').unwrap();
        let message = read(&format!("{example} {option}")).map_err(|error| error.to_string());
        let is_understood = message.as_ref().is_ok()
            || message
                .as_ref()
                .is_err_and(|text| text.contains("quorum is all"));
        assert!(is_understood, "{example} {option}: {message:?}");
    }
}

#[test]
fn a_value_out_of_range_is_refused_with_the_range() {
    for (args, range) in [
        ("--workload upload --streams 0", "1..=100000"),
        ("--workload upload --streams 100001", "1..=100000"),
        ("--workload upload --bytes 0", "within 1 byte and 1TB"),
        ("--workload upload --bytes 2TB", "within 1 byte and 1TB"),
        ("--workload fanin --clients 1025", "1..=1024"),
        ("--workload mixed --calls 0", "1..=100000"),
        ("--workload rpc --peers 65", "1..=64"),
        (
            "--workload rpc --peers 3 --quorum 4",
            "quorum is 4, allowed are 1 to 3",
        ),
        (
            "--workload rpc --request 65MiB",
            "request is 65 MiB, allowed are 1 B to 64 MiB",
        ),
        (
            "--workload rpc --response 1GB",
            "response is 1 GB, allowed are 1 B to 64 MiB",
        ),
        ("--workload rpc --duration 25h", "within 1 ms and 24 h"),
        (
            "--workload rpc --duration 5",
            "expected a number and a unit",
        ),
        ("--workload rpc --hedge-after 1us", "within 10 us and 1 m"),
        ("--mtu 1199", "1200..=8912"),
        ("--mtu 8913", "1200..=8912"),
        ("--timeout 0s", "within 1 s and 24 h"),
        (
            "--workload fanin --clients 1000 --streams 101",
            "101000 over all clients",
        ),
        ("--plot a.png", "ends in .svg"),
        ("server --listen 127.0.0.1:1 --mtu 9000", "1200..=8912"),
    ] {
        let error = read(args).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ValueValidation, "{args}");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(range), "{args}: {error}");
    }
}

#[test]
fn what_does_nothing_is_refused_by_the_name_of_its_option() {
    for (args, message) in [
        (
            "--workload upload --hedge-after 1ms",
            "--hedge-after: hedge_after does nothing here: only rpc",
        ),
        (
            "--workload upload --calls 1",
            "--calls: calls does nothing here: only mixed",
        ),
        (
            "--workload rpc --bytes 1MB",
            "--bytes: bytes does nothing here: rpc makes calls",
        ),
        (
            "--workload rpc --losers cancel",
            "--losers: losers does nothing here: the quorum is all",
        ),
        (
            "--workload upload --clients 11",
            "--clients: clients is 11, allowed are 1 to 10",
        ),
    ] {
        let error = refused(args);
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    for args in [
        "--workload rpc --config a.toml",
        "--verbose --quiet",
        "client --connect 127.0.0.1:1 --ca a.pem --fingerprint 00",
        "--quiet server --listen 127.0.0.1:1",
    ] {
        refused(args);
    }
    let both = format!("client --connect 127.0.0.1:1 --ca a.pem --fingerprint {PRINT}");
    assert_eq!(read(&both).unwrap_err().kind(), ErrorKind::ArgumentConflict);
}

#[test]
fn options_that_need_another_are_refused_without_it() {
    for args in [
        "--only a",
        "server",
        "server --listen 127.0.0.1:1 --cert a.pem",
        "server --listen 127.0.0.1:1 --key a.pem",
        "client --ca a.pem",
        "client --connect 127.0.0.1:1",
    ] {
        let error = read(args).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument, "{args}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn a_configuration_is_read_and_its_errors_are_usage_errors() {
    let args = "--only incast --only hedged-reads";
    let plan = run(&format!("--config {} {args}", example()));
    let names: Vec<_> = plan.workloads.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["hedged-reads", "incast"]);
    let all = run(&format!("run --config {}", example()));
    assert_eq!(all.workloads.len(), 8);

    let error = refused(&format!("--config {} --only nothing", example()));
    assert!(error.contains("there is no workload `nothing`"), "{error}");
    let error = refused("run --config no/such.toml");
    assert!(error.contains("Usage: dc-perf run [OPTIONS]"), "{error}");
    assert!(error.contains("--config: no/such.toml: "), "{error}");
}

#[test]
fn outputs_arrive() {
    let outputs = run("--json - --plot a/b.svg --verbose").outputs;
    assert_eq!(outputs.json, Some(JsonTo::Stdout));
    assert_eq!(outputs.plot, Some("a/b.svg".into()));
    assert_eq!(outputs.detail, Detail::Verbose);
    let outputs = run("--json a.json --quiet").outputs;
    assert_eq!(outputs.json, Some(JsonTo::File("a.json".into())));
    assert_eq!(outputs.detail, Detail::Quiet);
    refused("--json= ");
}

#[test]
fn a_server_has_an_address_and_an_identity() {
    let server = |args: &str| match read(&format!("server {args}")).unwrap() {
        Command::Server(plan) => plan,
        other => panic!("{other:?}"),
    };
    let plan = server("--listen [::1]:0");
    assert!(plan.listen.is_ipv6());
    assert_eq!((plan.mtu, plan.identity), (1450, Identity::SelfSigned));
    assert!(!plan.quiet);
    let plan = server("--listen 127.0.0.1:4433 --mtu 8912 --cert c.pem --key k.pem --quiet");
    let (cert, key) = ("c.pem".into(), "k.pem".into());
    assert_eq!(plan.identity, Identity::Files { cert, key });
    assert_eq!((plan.mtu, plan.quiet), (8912, true));
    for address in ["localhost:1", "::1:4433", "127.0.0.1", "127.0.0.1:65536"] {
        refused(&format!("server --listen {address}"));
    }
}

#[test]
fn help_is_short_enough_to_read() {
    for args in [
        "--help",
        "-h",
        "run --help",
        "client --help",
        "server --help",
    ] {
        let error = read(args).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisplayHelp);
        assert_eq!(error.exit_code(), 0);
        let text = error.to_string();
        assert!(
            text.lines().count() < 80,
            "{args}: {}",
            text.lines().count()
        );
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest < Some(125), "{args}: {longest:?}");
    }
    let text = read("--help").unwrap_err().to_string();
    assert!(text.contains("shake hands over"));
    // the defaults that it names are those that are used
    let of = |kind: &str| only_workload(&format!("--workload {kind}"));
    assert_eq!(
        [of("upload").streams, of("rpc").streams, of("fanin").streams],
        [10, 100, 1]
    );
    assert!(text.contains("[default: 10; rpc: 100; fanin: 1]"));
    assert_eq!(
        (
            of("upload").bytes.to_string(),
            of("fanin").bytes.to_string()
        ),
        ("100 MB".into(), "10 MB".into())
    );
    assert!(text.contains("[default: 100MB; fanin: 10MB]"));
    assert_eq!([of("upload").clients, of("fanin").clients], [1, 32]);
    assert!(text.contains("[default: 1; fanin: 32]"));
}
