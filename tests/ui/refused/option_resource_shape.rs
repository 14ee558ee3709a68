use mobula::remote;

#[remote(resource = "gpu")]
fn identity(value: u64) -> u64 {
    value
}

fn main() {
    identity::remote(1);
    identity::options().num_cpus(1.0).remote(1);
}
