// SPDX-License-Identifier: Apache-2.0

//! Tests of the configuration: the example, and where errors say they are.

use super::*;
use crate::workload::{Kind, Losers};
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../workloads.toml");

fn problem(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn names(workloads: &[Workload]) -> Vec<&str> {
    workloads
        .iter()
        .map(|workload| &workload.name[..])
        .collect()
}

fn asked(only: &[&str]) -> Vec<String> {
    only.iter().map(ToString::to_string).collect()
}

#[test]
fn the_example_is_understood() {
    let workloads = parse(EXAMPLE).unwrap();
    let [sizes, three, five, hedged, incast, upload, download, mixed] = &workloads[..] else {
        panic!("{:?}", names(&workloads));
    };
    assert_eq!(sizes.kind, Kind::Rpc);
    assert_eq!(sizes.duration, Some(Duration::from_secs(5)));
    assert_eq!(sizes.mix.len(), 4);
    assert_eq!(sizes.mix[0].weight, 600);
    assert_eq!(sizes.mix[3].response.bytes(), 1 << 20);

    assert_eq!((three.fanout.peers, three.fanout.quorum), (3, 2));
    assert_eq!((five.fanout.peers, five.fanout.quorum), (5, 3));
    assert_eq!(five.fanout.losers, Losers::Finish);
    assert_eq!(five.mix[0].request.bytes(), 4096);

    assert_eq!((hedged.fanout.peers, hedged.fanout.quorum), (2, 1));
    assert_eq!(hedged.fanout.hedge_after, Some(Duration::from_millis(2)));
    assert_eq!(hedged.fanout.losers, Losers::Cancel);

    assert_eq!((incast.kind, incast.clients), (Kind::Fanin, 32));
    assert_eq!(upload.total_streams(), 10);
    assert_eq!(download.kind, Kind::Download);
    assert_eq!(download.timeout, Duration::from_secs(60));
    assert_eq!((mixed.calls, mixed.mix.len()), (4, 2));
}

#[test]
fn only_selects_by_name_in_the_order_of_the_file() {
    let select = |only: &[&str]| select(parse(EXAMPLE).unwrap(), &asked(only));
    assert_eq!(select(&[]).unwrap().len(), 8);
    let selected = select(&["incast", "consensus-3", "incast"]).unwrap();
    assert_eq!(names(&selected), ["consensus-3", "incast"]);

    let error = select(&["incast", "consensus"]).unwrap_err().to_string();
    assert!(
        error.starts_with(": there is no workload `consensus`; there are: rpc-sizes, "),
        "{error}"
    );
}

#[test]
fn an_error_names_line_workload_and_field() {
    let head = "# first\n[[workload]]\nname = \"a\"\nkind = \"rpc\"\n";
    for (rest, expected) in [
        ("streams = 0", ":5: workload a: streams is 0, allowed are 1 to 100000"),
        ("streams = -1", ":5: workload a: streams is -1, allowed are 1 to 100000"),
        ("peers = 3\nquorum = 4", ":6: workload a: quorum is 4, allowed are 1 to 3"),
        ("\nmtu = 9000", ":6: workload a: mtu is 9000, allowed are 1200 to 8912"),
        ("request = \"1GB\"", ":5: workload a: request is 1 GB, allowed are 1 B to 64 MiB"),
        ("mix = []", ":5: workload a: mix is 0 entries long, allowed are 1 to 64"),
        ("bytes = \"1MB\"", ":5: workload a: bytes does nothing here: rpc makes calls, "),
        ("timeout = \"0s\"", ":5: workload a: timeout: `0s`: a time must be within 1 s and 24 h"),
        ("duration = \"5\"", ":5: workload a: duration: `5`: expected a number and a unit"),
        ("request = \"2TB\"", ":5: workload a: request: `2TB`: a size must be within 1 byte and 1TB"),
        ("request = 5", ":5: workload a: request: invalid type: integer `5`, expected a string"),
        ("losers = \"drop\"", ":5: workload a: losers: unknown variant `drop`, expected `finish` or `cancel`"),
        ("stream = 1", ":5: workload a: unknown field `stream`, expected one of `name`, `kind`, "),
        ("streams = 1\nstreams = 2", ":6: duplicate key"),
        (
            "mix = [\n  { request = \"1 B\", response = \"1 B\" },\n  { request = \"x\", response = \"1 B\" },\n]",
            ":7: workload a: mix: `x`: expected a whole number and a unit",
        ),
        (
            "mix = [{ weight = 0, request = \"1 B\", response = \"1 B\" }]",
            ":5: workload a: mix.weight is 0, allowed are 1 to 1000000",
        ),
        (
            "mix = [{ request = \"1 B\" }]",
            ":5: workload a: mix: missing field `response`",
        ),
        (
            "mix = [{ request = \"1 B\", response = \"1 B\", wieght = 1 }]",
            ":5: workload a: mix: unknown field `wieght`",
        ),
    ] {
        let error = problem(&format!("{head}{rest}\n"));
        assert!(error.starts_with(expected), "{rest}: {error}");
    }
}

#[test]
fn the_second_workload_of_a_name_is_refused() {
    let text = "[[workload]]\nname = \"a\"\nkind = \"rpc\"\n[[workload]]\nkind = \"upload\"\nname = \"a\"\n";
    assert_eq!(
        problem(text),
        ":6: workload a: the workload in line 2 has the same name"
    );
}

#[test]
fn name_and_kind_are_needed() {
    assert_eq!(
        problem("[[workload]]\nname = \"a\"\nkind = \"rpc\"\n[[workload]]\nkind = \"rpc\"\n"),
        ":4: workload number 2: name is missing"
    );
    assert_eq!(
        problem("\n[[workload]]\nname = \"a\"\n"),
        ":2: workload a: missing field `kind`"
    );
    assert_eq!(
        problem("[[workload]]\nname = \"a\\nb\"\nkind = \"rpc\"\n"),
        ":2: workload a?b: name is \"a\\nb\", allowed are 1 to 64 printable characters"
    );
}

#[test]
fn what_is_not_a_list_of_workloads_is_refused() {
    for (text, expected) in [
        ("", ": there is no [[workload]] in the file"),
        ("workload = []", ": there is no [[workload]] in the file"),
        (
            "\nworkloads = 1",
            ":2: unknown field `workloads`, expected [[workload]]",
        ),
        (
            "[workload]\nname = \"a\"",
            ":1: a workload begins with [[workload]]",
        ),
        (
            "workload = [1]",
            ":1: workload number 1: invalid type: integer `1`",
        ),
        ("[[workload]]\n= 1", ":2: "),
        ("[[workload", ":1: "),
    ] {
        let error = problem(text);
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

#[test]
fn deep_nesting_is_refused_without_a_panic() {
    let text = format!("workload = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    parse(&text).unwrap_err();
}

#[test]
fn a_file_is_read_and_named_in_errors() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads.toml");
    let workloads = read(&example, &asked(&["incast"])).unwrap();
    assert_eq!(names(&workloads), ["incast"]);

    let missing = Path::new("no/such/file.toml");
    let error = read(missing, &[]).unwrap_err();
    assert!(matches!(error.problem.fault, Fault::Read(_)));
    assert!(error.to_string().starts_with("no/such/file.toml: "));

    let error = read(Path::new("/dev/zero"), &[]).unwrap_err().to_string();
    assert_eq!(error, "/dev/zero: the file is larger than 1 MiB");
}

#[test]
fn a_text_of_one_mebibyte_is_read_and_a_longer_one_is_not() {
    let spaces = |count| io::repeat(b' ').take(count);
    assert_eq!(read_text(spaces(1 << 20)).unwrap().len(), 1 << 20);
    read_text(spaces((1 << 20) + 1)).unwrap_err();
    read_text(&[0xff][..]).unwrap_err();
}
