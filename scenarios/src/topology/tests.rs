use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Topology {
    Topology::from_json(text.as_bytes()).expect("a good file")
}

fn error(text: &str) -> TopologyError {
    Topology::from_json(text.as_bytes()).expect_err("a mistake")
}

/// The folder of real networks, beside the checkout; `None`, said plainly, when it is not there.
fn shared(name: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let path = workspace.join("../shared/data/topologies").join(name);
    if !path.is_file() {
        println!("skipped: {} is not beside this checkout", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn numbers_and_strings_are_different_names() {
    let topology =
        read(r#"{"links": [{"source": 973, "target": "973"}, {"source": "973", "target": "00"}]}"#);
    assert_eq!(
        topology.nodes,
        [NodeName::Number(973), NodeName::Text("973".into()), NodeName::Text("00".into())]
    );
    assert_eq!(topology.links.len(), 2);
    assert_eq!(topology.links[0].there_ppm, 1_000_000);
}

#[test]
fn qualities_are_read_digit_by_digit() {
    for (text, ppm) in [
        ("0", Some(0)),
        ("0.0", Some(0)),
        ("-0", Some(0)),
        ("1", Some(1_000_000)),
        ("1.000", Some(1_000_000)),
        ("0.894", Some(894_000)),
        ("0.99607843", Some(996_078)),
        ("0.0000005", Some(1)),
        ("0.0000004", Some(1)),
        ("0.9999995", Some(1_000_000)),
        ("9e-1", Some(900_000)),
        ("0.00009E+4", Some(900_000)),
        ("10e-1", Some(1_000_000)),
        ("1e-400", Some(1)),
        ("1.0001", None),
        ("1.00000001", None),
        ("2", None),
        ("-0.5", None),
        ("1e9", None),
        ("true", None),
        ("\"0.5\"", None),
    ] {
        assert_eq!(decimal_ppm(text), ppm, "{text}");
    }
}

#[test]
fn quality_belongs_to_its_direction_and_zero_means_no_link() {
    let topology = read(r#"{"links": [{"source": 1, "target": 2, "source_tq": 0.25, "target_tq": 0}]}"#);
    assert_eq!((topology.links[0].there_ppm, topology.links[0].back_ppm), (250_000, 0));
    assert_eq!(topology.dead_and_one_way(), (0, 1));
    assert_eq!(topology.components(), 2);
}

#[test]
fn self_links_and_repeated_links_are_counted_and_folded() {
    let topology = read(
        r#"{"links": [
            {"source": 1, "target": 1},
            {"source": 1, "target": 2, "source_tq": 0.5, "target_tq": 0.1},
            {"source": 2, "target": 1, "source_tq": 0.2, "target_tq": 0.4}]}"#,
    );
    assert_eq!((topology.self_links, topology.merged_links), (1, 1));
    assert_eq!(
        topology.links,
        [TopologyLink { source: 0, target: 1, there_ppm: 500_000, back_ppm: 200_000 }]
    );
}

#[test]
fn declared_nodes_without_links_are_there() {
    let topology = read(
        r#"{"nodes": [{"id": "a"}, {"id": "b"}, {"id": "c"}], "links": [{"source": "b", "target": "c"}]}"#,
    );
    assert_eq!(topology.nodes.len(), 3);
    assert_eq!((topology.links[0].source, topology.links[0].target), (1, 2));
    assert_eq!(topology.components(), 2);
    assert_eq!(topology.degrees(), [0, 1, 1]);
}

#[test]
fn a_node_list_that_repeats_ids_declares_nothing() {
    let topology = read(r#"{"nodes": [{"id": 2}, {"id": 2}], "links": [{"source": 8, "target": 9}]}"#);
    assert!(topology.nodes_ambiguous);
    assert_eq!(topology.nodes, [NodeName::Number(8), NodeName::Number(9)]);
}

#[test]
fn a_list_from_zero_beside_links_from_one_means_the_links_numbers() {
    let topology = read(
        r#"{"nodes": [{"id": "00"}, {"id": "01"}, {"id": "02"}], "links": [{"source": "01", "target": "03"}]}"#,
    );
    assert!(topology.nodes_counted_from_zero);
    assert_eq!(topology.nodes, ["01", "02", "03"].map(|text| NodeName::Text(text.into())));
    assert_eq!((topology.links[0].source, topology.links[0].target), (0, 2));
    let topology = read(r#"{"nodes": [{"id": 0}, {"id": 1}], "links": [{"source": 2, "target": 1}]}"#);
    assert_eq!(topology.nodes, [NodeName::Number(1), NodeName::Number(2)]);
}

#[test]
fn a_list_that_only_nearly_counts_from_zero_declares_as_it_stands() {
    for text in [
        // Zero is linked.
        r#"{"nodes": [{"id": 0}, {"id": 1}], "links": [{"source": 0, "target": 2}]}"#,
        // A step further than the count.
        r#"{"nodes": [{"id": 0}, {"id": 1}], "links": [{"source": 1, "target": 3}]}"#,
        r#"{"nodes": [{"id": 0}, {"id": 1}], "links": [{"source": 1, "target": 2}, {"source": 1, "target": 3}]}"#,
        // No whole run.
        r#"{"nodes": [{"id": 0}, {"id": 2}], "links": [{"source": 2, "target": 3}]}"#,
        // Another form of the number.
        r#"{"nodes": [{"id": "0"}, {"id": "1"}], "links": [{"source": "1", "target": 2}]}"#,
        r#"{"nodes": [{"id": "00"}, {"id": "01"}], "links": [{"source": "01", "target": "2"}]}"#,
    ] {
        assert!(error(text).message.contains("which `nodes` does not list"), "{text}");
    }
    let topology =
        read(r#"{"nodes": [{"id": 0}, {"id": 1}, {"id": 2}], "links": [{"source": 1, "target": 2}]}"#);
    assert!(!topology.nodes_counted_from_zero);
    assert_eq!(topology.nodes.len(), 3);
}

#[test]
fn mistakes_are_named_with_their_place() {
    let cases: [(&str, (usize, usize), &str); 14] = [
        ("", (1, 1), "EOF"),
        ("[]", (1, 1), "links"),
        ("{}", (1, 2), "missing field `links`"),
        ("{\"links\": 3}", (1, 11), "expected"),
        ("{\"links\": [}", (1, 12), "expected value"),
        ("{\"links\": [\n  7]}", (2, 3), "must be an object"),
        ("{\"links\": [\n  {\"target\": 2}]}", (2, 3), "no `source`"),
        ("{\"links\": [{\"source\": 1.5, \"target\": 2}]}", (1, 23), "integer or a string"),
        ("{\"links\": [{\"source\": [], \"target\": 2}]}", (1, 23), "integer or a string"),
        ("{\"links\": [{\"source\": 1, \"target\": 2,\n \"source_tq\": 1.5}]}", (2, 15), "from 0 to 1"),
        ("{\"links\": [{\"source\": 1, \"target\": 2, \"target_tq\": \"x\"}]}", (1, 52), "from 0 to 1"),
        ("{\"nodes\": [{}], \"links\": []}", (1, 12), "no `id`"),
        (
            "{\"nodes\": [{\"id\": 1}],\n \"links\": [{\"source\": 1, \"target\": 7}]}",
            (2, 36),
            "names node 7",
        ),
        (
            "{\"nodes\": [{\"id\": 7}], \"links\": [{\"source\": \"7\", \"target\": 7}]}",
            (1, 45),
            "there is 7",
        ),
    ];
    for (text, place, part) in cases {
        let wrong = error(text);
        assert!(wrong.message.contains(part), "{text}: {wrong}");
        assert_eq!((wrong.line, wrong.column), place, "{text}: {wrong}");
    }
    let wrong = Topology::from_json(b"{\"links\":\n \xff").expect_err("not UTF-8");
    assert_eq!((wrong.line, wrong.column), (2, 2));
}

#[test]
fn berlin_has_795_nodes_and_dead_links() {
    let Some(path) = shared("freifunk-berlin.json") else { return };
    let topology = Topology::from_json(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(topology.nodes.len(), 795);
    assert_eq!(topology.links.len(), 1_123);
    assert_eq!(topology.dead_and_one_way(), (18, 0));
    assert!(topology.nodes_ambiguous);
    assert!(topology.components() > 1);
}

#[test]
fn every_shared_network_reads() {
    let Some(first) = shared("small_cross.json") else { return };
    let mut read = 0;
    for file in std::fs::read_dir(first.parent().unwrap()).unwrap() {
        let path = file.unwrap().path();
        let topology = Topology::from_json(&std::fs::read(&path).unwrap())
            .unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()));
        assert!(!topology.links.is_empty(), "{}", path.display());
        let counted = ["17_node_mesh_network.json", "feymann_s_channel.json"];
        assert_eq!(topology.nodes_counted_from_zero, counted.iter().any(|name| path.ends_with(name)));
        read += 1;
    }
    assert_eq!(read, 10);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Topology::from_json(&bytes);
    }

    #[test]
    fn a_damaged_file_is_an_error_or_a_graph(at in 0_usize..120, byte in 0_u8..128) {
        let mut text = br#"{"nodes":[{"id":"a"},{"id":1}],"links":[{"source":"a","source_tq":0.25,"target":1,"target_tq":1e-1,"type":"wifi"}]}"#.to_vec();
        if let Some(slot) = text.get_mut(at) { *slot = byte; }
        let _ = Topology::from_json(&text);
    }

    #[test]
    fn millionths_survive_their_text(ppm in 0_u32..=1_000_000) {
        let text = format!("{}.{:06}", ppm / 1_000_000, ppm % 1_000_000);
        prop_assert_eq!(decimal_ppm(&text), Some(ppm));
    }
}
