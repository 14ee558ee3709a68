use mobula::remote;

#[remote]
fn fit(data: Matrix) -> Matrix {
    data
}

fn main() {}
