use mobula::remote;

#[remote]
fn push(values: &mut Vec<u64>, value: u64) {
    values.push(value);
}

fn main() {
    push::remote(vec![1], 2);
    let _: Vec<()> = push::map([(vec![1], 2)]).flatten().collect();
    push::options().num_cpus(2.0).remote(vec![1], 2);
}
