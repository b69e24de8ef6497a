//! With the feature `otlp`, spans arrive at a collector.

#![cfg(feature = "otlp")]
#![allow(clippy::unwrap_used)]

use std::{
    io::{Read, Write},
    net::TcpListener,
    time::Duration,
};

use redis_replication_operator::traces::Sender;
use tracing_subscriber::layer::SubscriberExt;

#[test]
fn a_change_of_master_arrives_at_the_collector_with_its_steps() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/", listener.local_addr().unwrap());
    let collector = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let (mut received, mut part) = (Vec::new(), [0; 4096]);
        while let Ok(n) = socket.read(&mut part)
            && n > 0
        {
            received.extend_from_slice(&part[..n]);
            if received.windows(4).any(|w| w == b"step") {
                break;
            }
        }
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        String::from_utf8_lossy(&received).into_owned()
    });
    let sender = Sender::new(&endpoint).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(sender.layer()), || {
        let transition = tracing::info_span!("transition", epoch = 7, to = "shop-1");
        transition.in_scope(|| tracing::info_span!("step", what = "promote").in_scope(|| tracing::info!("promoted")));
    });
    drop(sender); // sends what is left
    let received = collector.join().unwrap();
    assert!(received.starts_with("POST /v1/traces HTTP/1.1"), "{received}");
    for word in ["redis-replication-operator", "transition", "shop-1", "step", "promote", "promoted"] {
        assert!(received.contains(word), "{word}: {received}");
    }
}

#[test]
fn an_address_that_cannot_be_used_is_refused() {
    for endpoint in ["https://collector:4318", "collector:4318", "http://not an address"] {
        assert!(Sender::new(endpoint).is_err(), "{endpoint}");
    }
}
