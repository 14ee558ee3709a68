use mobula::remote;

fn never(_: u64) -> bool {
    false
}

#[remote(max_retries = 3, retry_if = never)]
fn identity(value: u64) -> u64 {
    value
}

fn main() {
    identity::remote(1);
}
