//! Processes of this machine, as tests look for those that are left.

use std::fs;

/// Lists the processes below one, by way of each of its threads.
pub fn descendants(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|text| text.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<_>>())
        .collect();
    children.iter().flat_map(|child| descendants(*child)).chain(children.clone()).collect()
}
