//! The wall of a network namespace: what an agent tries that wants to reach the network of its Pod.

use std::time::{Duration, Instant};

use bottle_guest::pod::NO_WALL;
use bottle_guest::pod::client::Said;
use bottle_guest::pod::verbs::{Outcome, Seen, Side, Tried, Verb, Wall};

use crate::probes;
use crate::support::{Host, Pod, Shape, address, docker, try_docker};

/// How long a server of a test's own may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_bottle_has_its_loopback_and_no_other_interface() {
    let host = Host::new();
    let wall = Wall { wall: "netns".to_owned(), interfaces: vec!["lo".to_owned()], routes: 0 };
    assert_eq!(host.ask(Side::Bottle, &Verb::Wall, b""), Outcome::Wall(wall));
    let seen = host.sh("cat /proc/net/dev | tail -n +3 | cut -d: -f1; tail -n +2 /proc/net/route");
    assert_eq!((seen.out.trim(), seen.code), ("lo", 0));
    // The guard has the Pod's.
    assert!(docker(&["exec", &host.pod.guard(), "cat", "/proc/net/dev"]).contains("eth0"));
}

#[test]
fn what_answers_the_guard_does_not_answer_the_bottle() {
    let host = Host::new();
    let (gateway, own) = host.addresses();
    // A server of the Pod's network that is neither of the two.
    let server = format!("{}-server", host.pod.name);
    let listen = "use Socket; $|=1; socket(S,PF_INET,SOCK_STREAM,6); bind(S,sockaddr_in(8080,INADDR_ANY)); listen(S,9); \
                  print qq(listens\\n); while(accept(C,S)){close C}";
    let guard = format!("container:{}", host.pod.guard());
    let image = docker(&["inspect", "--format", "{{.Config.Image}}", &host.pod.guard()]);
    docker(&["run", "--detach", "--name", &server, "--network", &guard, &image, "perl", "-e", listen]);
    let deadline = Instant::now() + PATIENCE;
    while !docker(&["logs", &server]).contains("listens") {
        assert!(Instant::now() < deadline, "the server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let targets = vec![address(&own, 8080), address("127.0.0.1", 8080), address(&gateway, 9)];
    let prove = host.link.call(Side::Guard, &Verb::Prove { targets }).unwrap();
    let Said::Out(seen) = prove.next().unwrap() else { panic!("no answer") };
    let seen: Vec<Seen> = serde_json::from_slice(&seen).unwrap();
    let removed = try_docker(&["inspect", &server]);
    let all: Vec<_> = seen.iter().map(|seen| seen.target).collect();
    let tried = host.ask(Side::Bottle, &Verb::Try { targets: all }, b"");
    docker(&["rm", "--force", &server]);
    prove.end().unwrap();
    assert_eq!(prove.next().unwrap(), Said::Result(Outcome::Done));
    // The guard's own port, that of the server by both of its addresses, and one on which nothing listens.
    let answers: Vec<_> = seen.iter().map(|seen| seen.answers).collect();
    assert_eq!(answers, [true, true, true, false], "{seen:?} {removed:?}");
    let Outcome::Tried(tried) = tried else { panic!("{tried:?}") };
    assert_eq!(tried.len(), 4);
    assert!(tried.iter().all(|Tried { error, .. }| error.is_some()), "{tried:?}");
}

#[test]
fn the_call_filter_is_that_of_other_bottles() {
    let host = Host::new();
    let said = host.run(&["perl", "-e", &probes::script()]);
    assert_eq!((said.out.as_str(), said.err.as_str()), (probes::ALL_AS_EXPECTED, ""));
    #[cfg(target_arch = "x86_64")]
    {
        let said = host.sh(probes::FOREIGN);
        assert!(probes::FOREIGN_ENDS.contains(&said.out.as_str()), "{said:?}");
    }
}

/// What an agent tries, and what it is told. The words `GATEWAY` and `OWN` are addresses of the Pod's network.
const ATTACKS: &[(&str, &str, &str)] = &[
    ("connect to the gateway", "curl -sS -m 5 http://GATEWAY:22/ 2>&1; true", "Couldn't connect to server"),
    (
        "connect to the Pod's own address",
        "curl -sS -m 5 http://OWN:80/ 2>&1; true",
        "Couldn't connect to server",
    ),
    ("connect to the world", "curl -sS -m 5 http://1.1.1.1/ 2>&1; true", "Couldn't connect to server"),
    (
        "connect to a cloud's metadata",
        "curl -sS -m 5 http://169.254.169.254/ 2>&1; true",
        "Couldn't connect to server",
    ),
    (
        "send a datagram",
        "perl -MSocket -e 'socket(S,PF_INET,SOCK_DGRAM,17); send(S,q(x),0,sockaddr_in(53,inet_aton(q(GATEWAY)))) or print $!'",
        "Network is unreachable",
    ),
    (
        "go out by the guard",
        "curl -sS -m 5 -o /dev/null -w '%{http_code}' -x http://127.0.0.1:8888 http://example.com/",
        "403",
    ),
    (
        "have a capability",
        "grep -E '^Cap(Eff|Prm|Inh|Amb)' /proc/self/status | sort -u -k2 | cut -f2 | sort -u",
        "0000000000000000",
    ),
    (
        "gain privileges",
        "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\n\\t '",
        "NoNewPrivs:1Seccomp:2",
    ),
    ("be another user", "id -u; id -g", "1000\n1000"),
    (
        "become root by a map",
        "echo 0 1000 1 > /proc/self/uid_map",
        "Operation not permitted|Permission denied|I/O error",
    ),
    ("make a user namespace", "unshare -U true", "Operation not permitted"),
    ("make a network namespace", "unshare -n true", "Operation not permitted"),
    (
        "enter another network namespace",
        "for n in /proc/[0-9]*/ns/net; do nsenter --net=$n true 2>&1; done; true",
        "Operation not permitted|denied",
    ),
    ("read process 1's memory", "cat /proc/1/mem", "Permission denied"),
    ("read process 1's environment", "cat /proc/1/environ", "Permission denied"),
    ("look at process 1's descriptors", "ls /proc/1/fd", "Permission denied"),
    ("see process 1's namespaces", "readlink /proc/1/ns/net", "Permission denied|^$"),
    ("trace process 1", "perl -e 'syscall(101,16,1,0,0); print $!'", "Operation not permitted"),
    (
        "read process 1's memory by a call",
        "perl -e '$b=chr(0)x64; $v=pack(q(PQ),$b,64); syscall(310,1,$v,1,$v,1,0); print $!'",
        "Operation not permitted",
    ),
    (
        "take a descriptor of process 1's",
        "perl -e '$p=syscall(434,1,0); syscall(438,$p,5,0); print $!'",
        "Operation not permitted",
    ),
    ("inherit a descriptor", "ls /proc/self/fd | wc -l", "4"),
    ("end process 1", "kill -KILL 1; kill -STOP 1; kill -TERM 1; kill -HUP 1; echo sent", "sent"),
    ("knock", "ls /run/claude-bottle/link/own", "Permission denied"),
    (
        "knock by its path",
        "perl -MSocket -e 'socket(S,PF_UNIX,SOCK_STREAM,0); connect(S,sockaddr_un(q(/run/claude-bottle/link/own/knock.sock))) or print $!'",
        "Permission denied",
    ),
    ("come to the door", "ls /run/claude-bottle/link/door", "^$"),
    (
        "open another door",
        "touch /run/claude-bottle/link/door/door.sock",
        "Read-only file system|Permission denied",
    ),
    (
        "replace the guard",
        "rm -f /run/claude-bottle/link/egress/guard.sock",
        "Read-only file system|Permission denied",
    ),
    (
        "mount the volume again",
        "perl -e '($a,$b,$c)=(q(none),q(/run/claude-bottle/link),q(none)); syscall(165,$a,$b,$c,32,0); print $!'",
        "Operation not permitted",
    ),
    (
        "bring up another interface",
        "perl -MSocket -e 'socket(S,16,3,0); $m=pack(q(LSSLLCCSlLL),32,16,0x605,1,0,0,0,0,0,1,1); send(S,$m,0); recv(S,$a,512,0); print -unpack(q(l),substr($a,16,4))'",
        "^1$",
    ),
    (
        "listen on a low port",
        "perl -MSocket -e 'socket(S,PF_INET,SOCK_STREAM,6); bind(S,sockaddr_in(81,INADDR_ANY)) or print $!'",
        "Permission denied",
    ),
    ("see what the Pod's containers share of System V", "tail -n +2 /proc/sysvipc/shm", "^$"),
];

#[test]
fn nothing_that_an_agent_tries_leads_into_the_network_of_its_pod() {
    let host = Host::new();
    let (gateway, own) = host.addresses();
    // Memory of System V that the guard's container has, as any neighbour might.
    docker(&["exec", &host.pod.guard(), "perl", "-e", "shmget(4711, 64, 01666) // die $!"]);
    for (what, script, expected) in ATTACKS {
        let script = script.replace("GATEWAY", &gateway).replace("OWN", &own);
        let ran = host.sh(&script);
        let said = format!("{}{}", ran.out, ran.err);
        let is_as_expected = expected.split('|').any(|expected| match expected {
            "^$" => said.trim().is_empty(),
            "^1$" => said.trim() == "1",
            expected => said.contains(expected),
        });
        assert!(is_as_expected, "{what}: {ran:?}");
    }
    // Process 1 is what it was.
    assert_eq!(host.sh("echo well").out, "well\n");
}

#[test]
fn a_socket_without_a_file_leads_to_no_other_container() {
    let host = Host::new();
    let listen = "use Socket; socket(S,PF_UNIX,SOCK_STREAM,0); bind(S,pack(q(Sa*),1,qq(\\0neighbour))); listen(S,9); \
                  sleep 600";
    docker(&["exec", "--detach", &host.pod.guard(), "perl", "-e", listen]);
    let connect = "perl -MSocket -e 'socket(S,PF_UNIX,SOCK_STREAM,0); connect(S,pack(q(Sa*),1,qq(\\0neighbour))) \
                   or print $!'";
    // The guard's own container reaches it, once it is there.
    let reach = format!("until [ -z \"$({connect})\" ]; do :; done");
    docker(&["exec", &host.pod.guard(), "sh", "-c", &reach]);
    assert_eq!(host.sh(connect).out, "Connection refused");
}

#[test]
fn a_container_without_its_wall_does_not_begin() {
    // The engine's own profile forbids a user namespace, as a Pod's `RuntimeDefault` does.
    let pod = Pod::guard_alone(Shape::default());
    let shape = Shape { seccomp: "label=disable", ..Shape::default() };
    pod.start_agent(shape);
    assert_eq!(pod.end_of(&pod.agent()), NO_WALL.to_string());
    let (_, _, said) = try_docker(&["logs", &pod.agent()]);
    assert!(said.contains("cannot make a network namespace without privilege"), "{said}");
}

#[test]
fn values_are_in_no_place_of_the_engine() {
    let host = Host::with(&[("CANARY", "kept-in-memory-alone-4711")]);
    assert_eq!(host.sh("printenv CANARY").out, "kept-in-memory-alone-4711\n");
    for container in [host.pod.guard(), host.pod.agent()] {
        let (_, out, err) = try_docker(&["logs", &container]);
        let inspected = docker(&["inspect", &container]);
        let top = docker(&["top", &container, "-eo", "pid,args"]);
        let changed = docker(&["diff", &container]);
        for text in [out, err, inspected, top, changed] {
            assert!(!text.contains("kept-in-memory-alone-4711"), "{container}: {text}");
        }
    }
}
