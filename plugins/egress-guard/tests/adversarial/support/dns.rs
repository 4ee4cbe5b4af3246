//! A name server on loopback that remembers every question.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

type Zone = HashMap<String, Vec<Vec<IpAddr>>>;

/// The running server.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    questions: Arc<Mutex<Vec<String>>>,
}

impl Dns {
    /// Serves these names. A name with several lists of addresses gives the next list each time it is asked
    /// for one kind, and the last for ever; the name of an empty zone does not exist. An empty list is a server failure.
    ///
    /// A question that comes again with its number is the same one: over UDP it is sent again when its answer takes a moment.
    pub(crate) fn start(zone: &[(&str, &[&[&str]])]) -> Self {
        let parse = |list: &&[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        let zone: Zone = zone
            .iter()
            .map(|(name, lists)| ((*name).to_owned(), lists.iter().map(parse).collect()))
            .collect();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let questions = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&questions);
        std::thread::spawn(move || serve(&socket, &zone, &seen));
        Self { address, questions }
    }

    /// Every question so far, as `name type`.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.questions.lock().unwrap().clone()
    }
}

fn serve(socket: &UdpSocket, zone: &Zone, seen: &Mutex<Vec<String>>) {
    let mut asked: HashMap<(String, RecordType), Vec<u16>> = HashMap::new();
    let mut packet = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut packet) {
        let Ok(request) = Message::from_vec(&packet[..length]) else { continue };
        let Some(query) = request.queries.first().cloned() else { continue };
        let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let lists = zone.get(&name);
        let question = format!("{name} {}", query.query_type());
        let numbers = asked.entry((name, query.query_type())).or_default();
        let count = numbers.iter().position(|number| *number == request.metadata.id).unwrap_or_else(|| {
            seen.lock().unwrap().push(question);
            numbers.push(request.metadata.id);
            numbers.len() - 1
        });
        let list = lists.and_then(|lists| lists.get(count).or(lists.last()));
        let mut answer = Message::new(request.metadata.id, MessageType::Response, OpCode::Query);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        answer.metadata.response_code = match list {
            None => ResponseCode::NXDomain,
            Some(list) if list.is_empty() => ResponseCode::ServFail,
            Some(_) => ResponseCode::NoError,
        };
        for address in list.into_iter().flatten() {
            let data = match address {
                IpAddr::V4(v4) if query.query_type() == RecordType::A => RData::A(A(*v4)),
                IpAddr::V6(v6) if query.query_type() == RecordType::AAAA => RData::AAAA(AAAA(*v6)),
                _ => continue,
            };
            // No time to live, so that the next request asks again.
            answer.add_answer(Record::from_rdata(query.name().clone(), 0, data));
        }
        socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
    }
}
