use mobula::remote;

#[remote]
fn join(words: &[&str]) -> String {
    words.join(" ")
}

fn main() {
    let _: String = mobula::get(join::remote(["manta", "birostris"])).unwrap();
}
