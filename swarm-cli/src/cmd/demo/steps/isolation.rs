//! Nothing leaves the swarm, and nothing is left of it.

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::Scenario;
use crate::report::Failure;

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    record
        .step("no packet went to an address that nobody declared", async {
            match demo.lab().strays().await? {
                0 => Ok(((), "the internet's router refused none".to_owned())),
                strays => Err(Failure::failed(format!(
                    "{strays} packets to undeclared addresses"
                ))),
            }
        })
        .await
}
