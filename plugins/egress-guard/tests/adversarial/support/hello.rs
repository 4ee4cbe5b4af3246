//! TLS ClientHellos, built by hand.

fn vector16(data: &[u8]) -> Vec<u8> {
    [u16::try_from(data.len()).unwrap().to_be_bytes().as_slice(), data].concat()
}

/// A ClientHello with this server name and these further extensions, in records of at most `record` bytes.
pub(crate) fn client_hello(name: Option<&str>, more: &[(u16, &[u8])], record: usize) -> Vec<u8> {
    let extension = |kind: u16, data: &[u8]| [kind.to_be_bytes().to_vec(), vector16(data)].concat();
    let mut extensions = Vec::new();
    if let Some(name) = name {
        extensions.extend(extension(0, &vector16(&[vec![0], vector16(name.as_bytes())].concat())));
    }
    for (kind, data) in more {
        extensions.extend(extension(*kind, data));
    }
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend(vector16(&[0x13, 0x01]));
    body.extend([1, 0]);
    body.extend(vector16(&extensions));
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [vec![1, length[1], length[2], length[3]], body].concat();
    message.chunks(record).flat_map(|part| [vec![22, 3, 1], vector16(part)].concat()).collect()
}
