use mobula::remote;

#[remote]
fn first(values: &[String]) -> Option<&String> {
    values.first()
}

fn main() {
    let _: Option<String> = mobula::get(first::remote(Vec::<String>::new())).unwrap();
}
