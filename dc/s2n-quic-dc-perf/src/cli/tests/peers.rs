// SPDX-License-Identifier: Apache-2.0

//! Tests of the options of `client`: how many servers, and which are trusted.

use super::*;

#[test]
fn the_addresses_are_the_peers_of_calls() {
    let two = format!("--connect 10.0.0.1:1 --connect [::1]:2 --fingerprint {PRINT}");
    let plan = client(&format!(
        "{two} --workload rpc --quorum 1 --hedge-after 1ms"
    ))
    .unwrap();
    assert_eq!(plan.connect.len(), 2);
    assert_eq!(
        (
            plan.workloads[0].fanout.peers,
            plan.workloads[0].fanout.quorum
        ),
        (2, 1)
    );

    for args in ["", "--workload upload"] {
        let error = client(&format!("{two} {args}")).unwrap_err().to_string();
        assert!(
            error.contains("the number of addresses is 2, and the workloads need 1"),
            "{error}"
        );
    }
    let one = format!("--connect 10.0.0.1:1 --fingerprint {PRINT}");
    assert_eq!(client(&one).unwrap().workloads, default_set());
    let error = client(&format!("{one} --workload rpc --peers 2")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownArgument);

    let file = format!("--config {} --only", example());
    client(&format!("{two} {file} incast")).unwrap_err();
    let plan = client(&format!("{two} {file} incast --only hedged-reads")).unwrap();
    let peers: Vec<_> = plan.workloads.iter().map(|one| one.fanout.peers).collect();
    assert_eq!(peers, [2, 1]);
    client(&format!("{one} {file} incast")).unwrap();
    let all = client(&format!("{one} --config {}", example()))
        .unwrap_err()
        .to_string();
    assert!(
        all.contains("the number of addresses is 1, and the workloads need 5"),
        "{all}"
    );
    let error = client(&one.replace(":1", ":0")).unwrap_err().to_string();
    assert!(error.contains("10.0.0.1:0 has port 0"), "{error}");
    let many = "--connect 10.0.0.1:1 ".repeat(65);
    let error = client(&format!("{many} --ca a.pem --workload rpc")).unwrap_err();
    assert!(error
        .to_string()
        .contains("the number of addresses is 65, allowed are 1 to 64"));
}

#[test]
fn there_is_one_fingerprint_for_all_servers_or_one_for_each() {
    let other = "ff".repeat(32);
    let servers = |count| "--connect 10.0.0.1:1 ".repeat(count) + "--workload rpc";
    let print: Fingerprint = PRINT.parse().unwrap();
    let trust = |args: String| client(&args).map(|plan| plan.trust);
    assert_eq!(
        trust(format!("{} --fingerprint {PRINT}", servers(3))).unwrap(),
        Trust::Fingerprints(vec![print; 3])
    );
    let each = format!("--fingerprint {PRINT} --fingerprint {other}");
    let expected = Trust::Fingerprints(vec![print, other.parse().unwrap()]);
    assert_eq!(trust(format!("{} {each}", servers(2))).unwrap(), expected);
    for count in [1, 3] {
        let error = trust(format!("{} {each}", servers(count))).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("2 were given for {count} addresses")),
            "{error}"
        );
    }
    let ca = trust(format!("{} --ca a.pem", servers(2))).unwrap();
    assert_eq!(ca, Trust::Ca("a.pem".into()));
}
