//! quinn-proto: a QUIC connection in memory that carries datagrams, with ChaCha20-Poly1305.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, Event, ServerConfig,
    TransportConfig,
};
use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::measure::Subject;

const BATCH: usize = crate::ours::BATCH as usize;
/// One way, in the pair's own time.
const DELAY: Duration = Duration::from_micros(500);

struct Side {
    endpoint: Endpoint,
    address: SocketAddr,
    connection: Option<(ConnectionHandle, Connection)>,
    inbox: Vec<Vec<u8>>,
    received: usize,
}

struct Pair {
    sides: [Side; 2],
    now: Instant,
    buf: Vec<u8>,
}

fn transport() -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.initial_mtu(1_400).mtu_discovery_config(None);
    config.datagram_receive_buffer_size(Some(1 << 22)).datagram_send_buffer_size(1 << 22);
    Arc::new(config)
}

fn configs() -> (ServerConfig, ClientConfig) {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let certificate = CertificateDer::from(own.cert.der().to_vec());
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::CryptoProvider {
        cipher_suites: vec![TLS13_CHACHA20_POLY1305_SHA256],
        ..rustls::crypto::ring::default_provider()
    });
    // QUIC protects its first packets with AES under a published key, whatever is negotiated.
    let initial = TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite()).expect("for QUIC");
    let only = &[&rustls::version::TLS13];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).expect("our own root");
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(only)
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("key and certificate fit");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(only)
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = QuicServerConfig::with_initial(server.into(), initial).expect("the suite is there");
    let client = QuicClientConfig::with_initial(client.into(), initial).expect("the suite is there");
    let mut server = ServerConfig::with_crypto(Arc::new(server));
    server.transport_config(transport());
    let mut client = ClientConfig::new(Arc::new(client));
    client.transport_config(transport());
    (server, client)
}

impl Pair {
    fn new() -> Pair {
        let (server, client) = configs();
        let side = |server: Option<ServerConfig>, port| Side {
            endpoint: Endpoint::new(
                Arc::new(EndpointConfig::default()),
                server.map(Arc::new),
                false,
                Some([9; 32]),
            ),
            address: (Ipv4Addr::LOCALHOST, port).into(),
            connection: None,
            inbox: Vec::new(),
            received: 0,
        };
        let mut sides = [side(None, 1), side(Some(server), 2)];
        let now = Instant::now();
        let to = sides[1].address;
        sides[0].connection =
            Some(sides[0].endpoint.connect(now, client, to, "localhost").expect("connects"));
        let mut pair = Pair { sides, now, buf: Vec::new() };
        while pair.sides.iter().any(|side| side.connection.as_ref().is_none_or(|(_, c)| c.is_handshaking())) {
            pair.turn();
        }
        pair
    }

    /// One flight in each direction.
    fn turn(&mut self) {
        self.now += DELAY;
        for from in 0..2 {
            self.transmit(from);
            self.deliver(1 - from);
        }
    }

    fn transmit(&mut self, from: usize) {
        let (now, buf) = (self.now, &mut self.buf);
        let Some((_, connection)) = &mut self.sides[from].connection else { return };
        if connection.poll_timeout().is_some_and(|at| at <= now) {
            connection.handle_timeout(now);
        }
        let mut packets = Vec::new();
        loop {
            buf.clear();
            let Some(transmit) = connection.poll_transmit(now, 1, buf) else { break };
            packets.push(buf[..transmit.size].to_vec());
        }
        self.sides[1 - from].inbox.extend(packets);
    }

    fn deliver(&mut self, to: usize) {
        let remote = self.sides[1 - to].address;
        let side = &mut self.sides[to];
        for packet in std::mem::take(&mut side.inbox) {
            self.buf.clear();
            let data = BytesMut::from(&packet[..]);
            match side.endpoint.handle(self.now, remote, None, None, data, &mut self.buf) {
                Some(DatagramEvent::NewConnection(incoming)) => {
                    let accepted = side.endpoint.accept(incoming, self.now, &mut self.buf, None);
                    side.connection = Some(accepted.map_err(|error| error.cause).expect("accepted"));
                }
                Some(DatagramEvent::ConnectionEvent(_, event)) => {
                    if let Some((_, connection)) = &mut side.connection {
                        connection.handle_event(event);
                    }
                }
                Some(DatagramEvent::Response(_)) | None => {}
            }
        }
        side.settle();
    }
}

impl Side {
    fn settle(&mut self) {
        let Some((handle, connection)) = &mut self.connection else { return };
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            assert!(!matches!(event, Event::ConnectionLost { .. }), "{event:?}");
        }
        while connection.datagrams().recv().is_some() {
            self.received += 1;
        }
    }
}

/// Datagrams of 1,200 bytes from one side to the other, acknowledgements included.
pub(crate) fn datagrams(name: &'static str) -> Subject {
    let mut pair = Pair::new();
    let payload = Bytes::from(vec![7; 1_200]);
    Subject::simple(name, move || {
        let goal = pair.sides[1].received + BATCH;
        if let Some((_, connection)) = &mut pair.sides[0].connection {
            for _ in 0..BATCH {
                connection.datagrams().send(payload.clone(), false).expect("there is room");
            }
        }
        while pair.sides[1].received < goal {
            pair.turn();
        }
        BATCH as u64
    })
}
