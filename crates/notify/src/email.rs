//! Mail over SMTP (RFC 5321), with STARTTLS (RFC 3207), TLS from the first byte (RFC 8314) or, to
//! this machine alone, without.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Authority, Channel, Message, SendError,
    format::cut,
    http::{certificates, is_loopback},
};

/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// For all of a message.
const TOTAL: Duration = Duration::from_secs(30);
/// Characters of a subject, at most: what shows on a phone is shorter.
const SUBJECT_MOST: usize = 200;
/// Characters of a server's words that are told.
const SAID_MOST: usize = 200;

/// How a mail server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MailTls {
    /// Plain first, and TLS before anything is said; port 587.
    #[default]
    StartTls,
    /// TLS from the first byte; port 465.
    Tls,
    /// Nothing; for this machine alone, port 25.
    None,
}

impl std::str::FromStr for MailTls {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "starttls" => Ok(Self::StartTls),
            "tls" => Ok(Self::Tls),
            "none" => Ok(Self::None),
            _ => Err(format!("{text:?} is none of starttls, tls, none")),
        }
    }
}

/// Who sends mail to whom, through which server.
#[derive(Clone)]
pub struct EmailSettings {
    /// The server's name, which its certificate has to have.
    pub host: String,
    /// Its port; the usual one without.
    pub port: Option<u16>,
    /// Whether the way there is encrypted.
    pub tls: MailTls,
    /// Who logs in, where somebody has to.
    pub user: Option<String>,
    /// With which password.
    pub password: Option<SecretString>,
    /// The sender, as `Bursar <bursar@example.com>`.
    pub from: String,
    /// Those who get what is not for a tenant's admin alone.
    pub to: Vec<String>,
    /// An authority of its own.
    pub authority: Authority,
}

impl fmt::Debug for EmailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmailSettings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("user", &self.user)
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// A mail server.
pub struct Email {
    server: AsyncSmtpTransport<Tokio1Executor>,
    host: String,
    from: Mailbox,
    to: Vec<Mailbox>,
    total: Duration,
}

impl Email {
    /// Mail as the settings say; why they can't be meant.
    pub fn new(settings: &EmailSettings) -> Result<Self, String> {
        let EmailSettings { host, port, tls, user, password, from, to, authority } = settings;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(format!("{host:?} is no host"));
        }
        if *tls == MailTls::None && !is_loopback(host) {
            return Err(format!(
                "mail through {host} has to be encrypted: tls = \"none\" is for this machine alone"
            ));
        }
        let (tls, usual) = match tls {
            MailTls::StartTls => (Tls::Required(parameters(host, authority)?), 587),
            MailTls::Tls => (Tls::Wrapper(parameters(host, authority)?), 465),
            MailTls::None => (Tls::None, 25),
        };
        let server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(port.unwrap_or(usual))
            .tls(tls)
            .timeout(Some(CONNECT));
        let server = match (user, password) {
            (Some(user), Some(password)) => {
                let password = password.expose_secret().to_owned();
                server.credentials(Credentials::new(user.clone(), password))
            }
            (None, None) => server,
            _ => return Err("a user needs a password, and a password a user".to_owned()),
        };
        let from = mailbox(from)?;
        let to = to.iter().map(|to| mailbox(to)).collect::<Result<_, _>>()?;
        Ok(Self { server: server.build(), host: host.clone(), from, to, total: TOTAL })
    }

    #[cfg(test)]
    pub(crate) fn with_total(self, total: Duration) -> Self {
        Self { total, ..self }
    }

    fn mail(&self, message: &Message) -> Result<lettre::Message, SendError> {
        let never = |why: String| SendError::Never { why };
        let to = match &message.recipient {
            Some(recipient) => vec![mailbox(recipient).map_err(never)?],
            None => self.to.clone(),
        };
        if to.is_empty() {
            return Err(never("nobody is named who would get it".to_owned()));
        }
        // A mail that comes twice has the same name: programs show it once.
        let name = format!("<{}@{}>", message.id(), self.from.email.domain());
        let by_itself = HeaderName::new_from_ascii_str("Auto-Submitted");
        let subject: String = message.subject.chars().filter(|c| !c.is_control()).collect();
        let builder = lettre::Message::builder()
            .from(self.from.clone())
            .subject(cut(&subject, SUBJECT_MOST))
            .message_id(Some(name))
            .raw_header(HeaderValue::new(by_itself, "auto-generated".to_owned()));
        let builder = to.into_iter().fold(builder, lettre::message::MessageBuilder::to);
        let parts = MultiPart::alternative_plain_html(message.text.clone(), message.html.clone());
        builder.multipart(parts).map_err(|error| never(format!("no mail can be made: {error}")))
    }
}

#[async_trait]
impl Channel for Email {
    fn kind(&self) -> &'static str {
        "email"
    }

    fn reaches(&self) -> bool {
        true
    }

    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let mail = self.mail(message)?;
        let sent = tokio::time::timeout(self.total, self.server.send(mail)).await;
        let error = match sent {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => {
                let (host, seconds) = (&self.host, self.total.as_secs_f32());
                return Err(SendError::later(format!("{host} has not taken it in {seconds} s")));
            }
        };
        let mut said = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            said = format!("{said}: {inner}");
            cause = inner.source();
        }
        let said: String = said.chars().filter(|c| !c.is_control()).collect();
        let why = format!("{}: {}", self.host, cut(&said, SAID_MOST));
        if is_final(&error) { Err(SendError::Never { why }) } else { Err(SendError::later(why)) }
    }
}

/// Whether the same mail is refused again: replies that begin with 5 (RFC 5321, 4.2.1), but for
/// those about who logs in (RFC 4954, 6), which the operator puts right.
fn is_final(error: &lettre::transport::smtp::Error) -> bool {
    let code = error.status().map(|code| code.to_string());
    let is_about_login =
        code.as_deref().is_some_and(|code| matches!(code, "530" | "534" | "535" | "538"));
    error.is_permanent() && !is_about_login
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let mailbox: Result<Mailbox, _> = text.trim().parse();
    let address = || text.trim().parse::<Address>().map(|address| Mailbox::new(None, address));
    mailbox.or_else(|_| address()).map_err(|_| format!("{text:?} is no mail address"))
}

fn parameters(host: &str, authority: &Authority) -> Result<TlsParameters, String> {
    let builder =
        TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::Default);
    let certificates = certificates(authority).map_err(|error| error.to_string())?;
    let builder = certificates.into_iter().try_fold(builder, |builder, certificate| {
        let certificate = Certificate::from_der(certificate.to_vec());
        certificate.map(|certificate| builder.add_root_certificate(certificate))
    });
    let builder = builder.map_err(|error| format!("a certificate can't be used: {error}"))?;
    builder.build_rustls().map_err(|error| format!("no TLS can be made: {error}"))
}

#[cfg(test)]
mod tests;
