//! A nats-server of the bench's own, with mutual TLS, on loopback.

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use test_port::Port;

pub(crate) struct Server {
    pub(crate) port: Port,
    issuer: CertifiedIssuer<'static, KeyPair>,
    child: Child,
    _directory: TempDir,
}

impl Server {
    /// Starts one.
    ///
    /// # Panics
    /// When nats-server is not on the PATH or does not answer.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let (chain, key) = issue(&issuer, ExtendedKeyUsagePurpose::ServerAuth);
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let port = Port::free();
        let configuration = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{store_dir: \"{}\"}}\n\
             tls {{cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true}}\n",
            directory.path().join("js").display(),
            write("server.pem", &chain),
            write("server.key", &key.serialize_pem()),
            write("ca.pem", &issuer.pem()),
        );
        let child = Command::new("nats-server")
            .args(["-c", &write("nats.conf", &configuration)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server, on the PATH (make test unpacks it into .tools/bin)");
        // from here on it is stopped with the value
        let server = Self {
            port,
            issuer,
            child,
            _directory: directory,
        };
        for _ in 0..200 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, server.port.number())).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nats-server does not answer");
    }

    /// The TLS of a client, with a certificate of its own.
    pub(crate) fn tls(&self) -> rustls::ClientConfig {
        let (chain, key) = issue(&self.issuer, ExtendedKeyUsagePurpose::ClientAuth);
        let mut roots = rustls::RootCertStore::empty();
        let root = CertificateDer::from(self.issuer.der().to_vec());
        roots.add(root).expect("a root");
        let chain = rustls_pki_types::pem::PemObject::pem_slice_iter(chain.as_bytes())
            .collect::<Result<Vec<CertificateDer<'static>>, _>>()
            .expect("a chain");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .expect("the key is the certificate's")
    }
}

fn issue(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    usage: ExtendedKeyUsagePurpose,
) -> (String, KeyPair) {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    (certificate.pem(), key)
}

impl Server {
    /// How much CPU time its threads have taken; nothing where the kernel does not say.
    pub(crate) fn cpu(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let of_thread = |thread: std::io::Result<std::fs::DirEntry>| {
            let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(threads.into_iter().flatten().filter_map(of_thread).sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
