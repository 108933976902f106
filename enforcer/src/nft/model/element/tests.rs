use super::*;

#[test]
fn parts_of_a_concatenation_fill_words_and_a_single_part_does_not() {
    assert_eq!(format!("{:?}", Element::new(&[Part::port(80)])), "0050");
    let triple = [
        Part::address(Ipv4Addr::new(10, 0, 0, 1)),
        Part::protocol(6),
        Part::port(443),
    ];
    assert_eq!(format!("{:?}", Element::new(&triple)), "0a0000010600000001bb0000");
}

#[test]
fn a_range_in_one_part_makes_the_element_a_range() {
    let key = [KeyType::Ipv4Address, KeyType::Protocol, KeyType::Port];
    let network = "10.0.0.7/24".parse().expect("a network");
    let element = Element::new(&[Part::network(network), Part::any_protocol(), Part::port(53)]);
    assert_eq!(
        format!("{element:?}"),
        "0a0000000000000000350000-0a0000ffff00000000350000"
    );
    let parts: Vec<String> = element
        .parts(&key)
        .expect("three parts")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(parts, ["10.0.0.0-10.0.0.255", "0-255", "53"]);
}

#[test]
fn a_range_of_one_key_is_the_key() {
    let one = Ipv4Addr::new(10, 0, 0, 1);
    assert_eq!(
        Element::new(&[Part::addresses_v4(one..=one)]),
        Element::new(&[Part::address(one)])
    );
    assert_eq!(
        Element::from_bytes(&[1], Some(&[1])),
        Element::from_bytes(&[1], None)
    );
}

#[test]
fn bytes_of_another_width_are_refused() {
    let element = Element::new(&[Part::port(80)]);
    assert_eq!(
        element.parts(&[KeyType::Ipv4Address]),
        Err(UnknownWidth {
            expected: 4,
            found: 2
        })
    );
}
