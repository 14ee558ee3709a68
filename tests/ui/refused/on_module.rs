use mobula::remote;

#[remote]
mod tasks {
    pub fn one() -> u64 {
        1
    }
}

fn main() {
    tasks::one();
}
