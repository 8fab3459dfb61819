use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

fn frame(tag: u8, body: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::from(&[tag][..]);
    bytes.extend_from_slice(&i32::try_from(body.len() + 4).expect("short").to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn decoded(tag: u8, body: &[u8]) -> Result<Option<Frontend>, Malformed> {
    take_message(&mut frame(tag, body), true)
}

/// One well-formed body of each kind that has fields.
fn samples() -> Vec<(u8, Vec<u8>)> {
    vec![
        (b'Q', b"SELECT 1\0".to_vec()),
        (b'P', b"s\0SELECT $1\0\0\x01\0\0\0\x17".to_vec()),
        (
            b'B',
            b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x01\0\0".to_vec(),
        ),
        (b'D', b"Ss\0".to_vec()),
        (b'C', b"Pp\0".to_vec()),
        (b'E', b"p\0\0\0\0\x05".to_vec()),
        (b'f', b"no\0".to_vec()),
    ]
}

#[test]
fn decodes_what_the_fields_say() {
    let bind = samples().remove(2).1;
    let expected = Bind {
        portal: "p".to_string(),
        statement: "s".to_string(),
        parameter_formats: vec![1],
        parameters: vec![Some(Bytes::from_static(b"ab")), None],
        result_formats: vec![0],
    };
    assert_eq!(decoded(b'B', &bind), Ok(Some(Frontend::Bind(expected))));
    assert_eq!(decoded(b'S', b""), Ok(Some(Frontend::Sync)));
}

#[test]
fn a_body_too_short_or_too_long_is_a_protocol_violation() {
    for (tag, body) in samples() {
        assert!(decoded(tag, &body).is_ok(), "{}", tag as char);
        for length in 0..body.len() {
            let error = decoded(tag, &body[..length]).expect_err("truncated");
            assert!(
                error.fatal && error.error.kind == ErrorKind::ProtocolViolation,
                "{} {length}",
                tag as char
            );
        }
        let longer = [&body[..], b"\0"].concat();
        assert!(
            decoded(tag, &longer).expect_err("too long").fatal,
            "{}",
            tag as char
        );
    }
}

#[test]
fn a_message_never_reads_into_the_next() {
    let mut buffer = frame(b'Q', b"SELECT 1");
    buffer.extend_from_slice(&frame(b'Q', b"SELECT 2\0"));
    assert!(
        take_message(&mut buffer, true)
            .expect_err("no terminator")
            .fatal
    );
    let next = take_message(&mut buffer, true)
        .expect("well-formed")
        .expect("complete");
    assert_eq!(next, Frontend::Query("SELECT 2".to_string()));
}

#[test]
fn text_that_is_not_utf8_is_an_error_of_its_statement() {
    let error = decoded(b'Q', b"SELECT '\xe4\xf6'\0").expect_err("latin-1");
    assert!(!error.fatal);
    assert_eq!(
        error.error.message,
        "invalid byte sequence for encoding \"UTF8\": 0xe4 0xf6 0x27"
    );
}

#[test]
fn lengths_are_limited() {
    let declare = |tag: u8, length: i32, authenticated| {
        let mut bytes = BytesMut::from(&[tag][..]);
        bytes.extend_from_slice(&length.to_be_bytes());
        take_message(&mut bytes, authenticated)
    };
    assert_eq!(declare(b'Q', i32::MAX >> 1, true), Ok(None));
    for (tag, length, authenticated) in [
        (b'Q', 3, true),
        (b'Q', -1, true),
        (b'Q', i32::MAX, true),
        (b'S', 40_000, true),
        (b'p', 70_000, false),
    ] {
        assert!(
            declare(tag, length, authenticated)
                .expect_err("out of bounds")
                .fatal,
            "{tag} {length}"
        );
    }
}

#[test]
fn startup_packets() {
    let packet = |code: i32, rest: &[u8]| {
        let mut bytes = BytesMut::new();
        bytes.extend_from_slice(&i32::try_from(rest.len() + 8).expect("short").to_be_bytes());
        bytes.extend_from_slice(&code.to_be_bytes());
        bytes.extend_from_slice(rest);
        bytes
    };
    assert_eq!(
        take_startup(&mut packet(SSL_REQUEST, b"")),
        Ok(Some(Startup::Encrypt))
    );
    assert_eq!(
        take_startup(&mut packet(0x0003_0002, b"user\0ann\0\0")),
        Ok(Some(Startup::Session {
            minor: 2,
            parameters: vec![("user".to_string(), "ann".to_string())]
        }))
    );
    for bad in [
        packet(0x0003_0000, b"user\0ann\0"),
        packet(CANCEL_REQUEST, b"\0\0"),
        packet(0x0002_0000, b"\0"),
    ] {
        assert!(take_startup(&mut bad.clone()).is_err(), "{bad:?}");
    }
    assert!(take_startup(&mut BytesMut::from(&b"GET / HTTP/1.1\r\n"[..])).is_err());
}

#[test]
fn random_bytes_never_panic() {
    let seed = 7;
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..20_000 {
        let (tag, mut body) = {
            let mut samples = samples();
            samples.swap_remove(random.random_range(0..7))
        };
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..body.len());
            body[at] = random.random();
        }
        let _ = decoded(tag, &body);
        let mut startup = BytesMut::from(&body[..]);
        let _ = take_startup(&mut startup);
    }
}
