//! Asks public DNS through this machine's resolver: a zone in Route 53 shows only what it would answer if it were asked.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use std::{env, fs, io};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::caa::Property;
use crate::spec::ids::destination;

/// The variable that names the resolver of the local AWS, such as `127.0.0.1:5353`. It is not set on AWS.
const RESOLVER: &str = "LOCAL_AWS_DNS";
/// Has a line `nameserver <address>` for each resolver of this machine (resolv.conf(5)).
const CONFIGURATION: &str = "/etc/resolv.conf";
/// How long one question waits for its answer. It is asked so many times.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: usize = 2;

/// An answer, or in words why there is none.
pub type Said<T> = Result<T, String>;

/// The resolver of this machine.
pub struct Resolver(Said<SocketAddr>);

impl Resolver {
    pub fn of_this_machine() -> Self {
        Resolver(match env::var(RESOLVER) {
            Ok(address) => address.parse().map_err(|_| format!("{RESOLVER} is no address and port: {address}")),
            Err(_) => match fs::read_to_string(CONFIGURATION) {
                Ok(text) => first_name_server(&text).ok_or_else(|| format!("{CONFIGURATION} names no name server")),
                Err(problem) => Err(format!("{CONFIGURATION}: {problem}")),
            },
        })
    }

    /// Asks for the name servers of a zone, sorted; none where the internet knows no such zone.
    pub async fn name_servers(&self, zone: &str) -> Said<Vec<String>> {
        let server = |data: &RData| match data {
            RData::NS(server) => Some(destination(&server.0.to_string())),
            _ => None,
        };
        let mut servers = self.ask(zone, TYPE::NS, server).await?;
        // Resolvers rotate their order.
        servers.sort();
        Ok(servers)
    }

    /// Asks for the CAA properties of a name, or of the name to which its CNAME leads; none where there are none.
    pub async fn caa(&self, name: &str) -> Said<Vec<Property>> {
        let property = |data: &RData| match data {
            RData::CAA(caa) => Some(Property {
                flags: caa.flag,
                tag: caa.tag.to_string(),
                value: String::from_utf8_lossy(&caa.value).into_owned(),
            }),
            _ => None,
        };
        self.ask(name, TYPE::CAA, property).await
    }

    async fn ask<T>(&self, name: &str, kind: TYPE, take: impl Fn(&RData) -> Option<T>) -> Said<Vec<T>> {
        let resolver = self.0.clone()?;
        let id = random();
        let question = question(id, name, kind).map_err(|problem| format!("{name} is no name for DNS: {problem}"))?;
        let mut problem = String::new();
        for _ in 0..TRIES {
            match timeout(PATIENCE, over_udp(resolver, &question, id)).await {
                Ok(Ok(answer)) => return read(&answer, name, kind, &take),
                Ok(Err(refused)) => problem = refused.to_string(),
                Err(_) => problem = format!("no answer in {} seconds", PATIENCE.as_secs()),
            }
        }
        Err(format!("{kind:?} of {name} asked of {resolver}: {problem}"))
    }
}

/// Returns a number that is hard to guess: the hashing keys of the standard library are random.
fn random() -> u16 {
    let [high, low, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
    u16::from_ne_bytes([high, low])
}

fn first_name_server(configuration: &str) -> Option<SocketAddr> {
    let mut addresses = configuration.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
    });
    Some(SocketAddr::new(addresses.next()?, 53))
}

fn question(id: u16, name: &str, kind: TYPE) -> simple_dns::Result<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(Name::new(name)?, kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec()
}

/// Asks a question over UDP, and over TCP where the answer is too long for that (RFC 1035, 4.2).
async fn over_udp(resolver: SocketAddr, question: &[u8], id: u16) -> io::Result<Vec<u8>> {
    let own: SocketAddr = if resolver.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(own).await?;
    // A connected socket receives nothing that others send.
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = &buffer[..length];
        match Packet::parse(answer) {
            Ok(packet) if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) => {}
            Ok(packet) if packet.has_flags(PacketFlag::TRUNCATION) => return over_tcp(resolver, question).await,
            Ok(_) => return Ok(answer.to_vec()),
            // A truncated answer may end within a record: its header says so.
            Err(_) if answer.starts_with(&id.to_be_bytes()) && answer.get(2).is_some_and(|flags| flags & 2 != 0) => {
                return over_tcp(resolver, question).await;
            }
            Err(_) => {}
        }
    }
}

/// Asks a question over TCP, where each message follows its length (RFC 1035, 4.2.2).
async fn over_tcp(resolver: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Reads what an answer holds; a name that does not exist has nothing.
fn read<T>(answer: &[u8], name: &str, kind: TYPE, take: impl Fn(&RData) -> Option<T>) -> Said<Vec<T>> {
    let packet = Packet::parse(answer).map_err(|problem| format!("{kind:?} of {name}: not an answer: {problem}"))?;
    match packet.rcode() {
        RCODE::NoError => Ok(packet.answers.iter().filter_map(|record| take(&record.rdata)).collect()),
        RCODE::NameError => Ok(vec![]),
        other => Err(format!("{kind:?} of {name}: the resolver answers {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, CAA, NS};
    use tokio::net::TcpListener;

    #[test]
    fn the_first_name_server_of_the_configuration_is_asked() {
        let text = "# made by DHCP\nsearch example.com\nnameserver 169.254.78.1\nnameserver 9.9.9.9\n";
        assert_eq!(first_name_server(text), Some(([169, 254, 78, 1], 53).into()));
        assert_eq!(first_name_server("nameserver fd00::1\n"), Some("[fd00::1]:53".parse().unwrap()));
        assert_eq!(first_name_server("search example.com\n"), None);
    }

    /// The answer to any question.
    fn reply(question: &[u8], records: Vec<RData<'static>>, code: RCODE, truncated: bool) -> Vec<u8> {
        let asked = Packet::parse(question).unwrap();
        let mut packet = Packet::new_reply(asked.id());
        *packet.rcode_mut() = code;
        if truncated {
            packet.set_flags(PacketFlag::TRUNCATION);
        }
        let named = |data| ResourceRecord::new(asked.questions[0].qname.clone(), CLASS::IN, 60, data);
        packet.answers = records.into_iter().map(named).collect();
        packet.questions.clone_from(&asked.questions);
        packet.build_bytes_vec().unwrap()
    }

    fn ns(name: &'static str) -> RData<'static> {
        RData::NS(NS(Name::new_unchecked(name)))
    }

    /// A resolver that answers one question so; the records come over TCP where they are `long`.
    async fn asked(records: Vec<RData<'static>>, code: RCODE, long: bool) -> Said<Vec<String>> {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let serve = async {
            let mut buffer = [0; 512];
            let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
            // What has another id is not the answer.
            let mut stray = reply(&buffer[..length], vec![ns("stray.example")], RCODE::NoError, false);
            stray[0] ^= 1;
            udp.send_to(&stray, from).await.unwrap();
            let answer = reply(&buffer[..length], if long { vec![] } else { records.clone() }, code, long);
            udp.send_to(&answer, from).await.unwrap();
            if long {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let length = stream.read_u16().await.unwrap();
                let mut question = vec![0; length.into()];
                stream.read_exact(&mut question).await.unwrap();
                let answer = reply(&question, records, code, false);
                stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        };
        let resolver = Resolver(Ok(address));
        tokio::join!(resolver.name_servers("w.test"), serve).0
    }

    #[tokio::test]
    async fn an_answer_is_read_whole_and_from_the_one_who_was_asked() {
        let other = RData::A(A { address: 1 });
        let servers = vec![ns("ns-2.awsdns-02.com"), other, ns("NS-1.awsdns-01.org")];
        let wanted = Ok(vec!["ns-1.awsdns-01.org".to_owned(), "ns-2.awsdns-02.com".to_owned()]);
        assert_eq!(asked(servers.clone(), RCODE::NoError, false).await, wanted);
        assert_eq!(asked(servers, RCODE::NoError, true).await, wanted);
        assert_eq!(asked(vec![], RCODE::NoError, false).await, Ok(vec![]));
        assert_eq!(asked(vec![], RCODE::NameError, false).await, Ok(vec![]));
        assert!(asked(vec![], RCODE::ServerFailure, false).await.unwrap_err().contains("ServerFailure"));
    }

    #[tokio::test]
    async fn where_nobody_answers_it_is_said_who_was_asked() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        let said = Resolver(Ok(address)).caa("w.test").await.unwrap_err();
        assert!(said.contains(&address.to_string()) && said.contains("CAA of w.test"), "{said}");
    }

    #[test]
    fn a_caa_record_of_the_wire_is_read() {
        let question = question(7, "w.test", TYPE::CAA).unwrap();
        let tag = simple_dns::CharacterString::new(b"issue").unwrap();
        let caa = RData::CAA(CAA { flag: 128, tag, value: b"letsencrypt.org".into() });
        let answer = reply(&question, vec![caa], RCODE::NoError, false);
        let values = read(&answer, "w.test", TYPE::CAA, |data| match data {
            RData::CAA(caa) => Some((caa.flag, caa.tag.to_string(), caa.value.to_vec())),
            _ => None,
        });
        assert_eq!(values, Ok(vec![(128, "issue".to_owned(), b"letsencrypt.org".to_vec())]));
    }
}
