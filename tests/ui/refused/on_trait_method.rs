use mobula::remote;

trait Count {
    #[remote]
    fn count(start: u64) -> u64;
}

fn main() {}
