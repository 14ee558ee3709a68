use mobula::remote;

#[remote(max_retries = 3, retry_if = "sometimes")]
fn identity(value: u64) -> u64 {
    value
}

fn main() {
    identity::remote(1);
    identity::options().max_retries(3).retry_if(|_| true).remote(1);
}
