use super::*;

#[track_caller]
fn parsed(text: &str) -> Url {
    Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

#[test]
fn a_url_is_shown_as_hosts_user_and_database_without_its_password() {
    for (text, shown) in [
        ("postgresql://smscope@db.example.com/sms", "postgresql://smscope@db.example.com:5432/sms"),
        ("postgres://smscope:s3cret@db:6432/sms", "postgresql://smscope@db:6432/sms"),
        ("postgresql://smscope:s3cret@db", "postgresql://smscope@db:5432/smscope"),
        ("postgresql://u:s3cret@a,b:1,[::1]:2/d", "postgresql://u@a:5432,b:1,[::1]:2/d"),
        ("postgresql://u@/d?host=a,b&port=7&password=s3cret", "postgresql://u@a:7,b:7/d"),
        ("postgresql://u@/d?host=a,b&port=7,8", "postgresql://u@a:7,b:8/d"),
        ("postgresql:///d?host=/run/postgresql&user=u", "postgresql://u@/run/postgresql:5432/d"),
        ("postgresql://u@%2Frun%2Fpostgresql:1/d", "postgresql://u@/run/postgresql:1/d"),
        ("postgresql://a%40b:s3cret%2F@h/d%20e", "postgresql://a%40b@h:5432/d%20e"),
        ("postgresql://h/d?user=u&dbname=", "postgresql://u@h:5432/d"),
        ("postgresql://h?user=u&dbname=d", "postgresql://u@h:5432/d"),
    ] {
        let url = parsed(text);
        assert_eq!(url.to_string(), shown, "{text}");
        assert!(!format!("{url:?}").contains("s3cret"), "{text}");
        let password = url.password.map_or(String::new(), |password| password.reveal().to_owned());
        let written = text.replace("%2F@", "/@");
        assert_eq!(password.is_empty(), !text.contains("s3cret"), "{text}");
        assert!(written.contains(&password), "{text}");
    }
}

#[test]
fn parameters_are_read_and_those_that_smscope_sets_itself_have_no_effect() {
    let url = parsed(
        "postgresql://u@h/d?sslmode=verify-ca&sslrootcert=/ca.pem&sslcert=c&sslkey=k&passfile=p&application_name=a%20b\
         &options=-c%20geqo%3Doff&channel_binding=require&connect_timeout=10&target_session_attrs=any",
    );
    assert_eq!(url.ssl_mode, Some(SslMode::VerifyCa));
    assert_eq!(url.ssl_root_certificate.as_deref(), Some("/ca.pem"));
    assert_eq!((url.ssl_certificate.as_deref(), url.ssl_key.as_deref()), (Some("c"), Some("k")));
    assert_eq!(url.password_file.as_deref(), Some("p"));
    assert_eq!(url.application_name.as_deref(), Some("a b"));
    assert_eq!(url.options.as_deref(), Some("-c geqo=off"));
    assert_eq!(url.channel_binding, Some(ChannelBinding::Require));
    assert_eq!(url.unused, ["connect_timeout", "target_session_attrs"]);
    for ours in ["read-write", "primary"] {
        let url = parsed(&format!("postgresql://u@h/d?target_session_attrs={ours}"));
        assert_eq!(url.unused, [""; 0], "{ours}");
    }
}

#[test]
fn the_modes_of_tls_are_those_of_libpq() {
    for (word, mode) in [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Prefer),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ] {
        assert_eq!(parsed(&format!("postgresql://u@h/d?sslmode={word}")).ssl_mode, Some(mode), "{word}");
    }
    assert_eq!(parsed("postgresql://u@h/d").ssl_mode, None);
}

#[test]
fn a_url_that_cannot_be_used_is_an_error_that_quotes_nothing_of_its_password() {
    for (text, problem) in [
        ("", "not a URL of PostgreSQL"),
        ("s3cret", "not a URL of PostgreSQL"),
        ("host=db user=u password=s3cret", "not a URL of PostgreSQL"),
        ("mysql://u:s3cret@h/d", "its scheme is \"mysql\""),
        ("s3cret of://u@h", "not a URL of PostgreSQL"),
        ("postgresql://u:s3cret@/d", "no host in it"),
        ("postgresql://u@a,,b/d", "no host in it"),
        ("postgresql://u@/d?host=a,", "no host in it"),
        ("postgresql://h/d", "no user in it"),
        ("postgresql://:s3cret@h/d", "no user in it"),
        ("postgresql://u:s3cret@ret@h/d", "an @, /, ? or # in it that is not percent-encoded"),
        ("postgresql://u:s3/cret@h/d", "an @, /, ? or # in it that is not percent-encoded"),
        ("postgresql://u:s3#cret@h/d", "an @, /, ? or # in it that is not percent-encoded"),
        ("postgresql://u:s3?cret@h/d", "an @, /, ? or # in it that is not percent-encoded"),
        ("postgresql://u:s3?cret=@h/d", "an @, /, ? or # in it that is not percent-encoded"),
        ("postgresql://u@h/d?s3cret", "a parameter in it cannot be read"),
        ("postgresql://u@h/d?sslmode", "a parameter in it cannot be read"),
        ("postgresql://u:s3cret%zz@h/d", "the password in it cannot be read"),
        ("postgresql://u:s3cret%ff@h/d", "the password in it cannot be read"),
        ("postgresql://u:s3cret%0a@h/d", "the password in it cannot be read"),
        ("postgresql://u@h:s3cret/d", "a port in it cannot be read"),
        ("postgresql://u@h:0/d", "a port in it cannot be read"),
        ("postgresql://u@h:65536/d", "a port in it cannot be read"),
        ("postgresql://u@[::1/d", "a [ without its ]"),
        ("postgresql://u@[s3cret]/d", "an address in brackets that is none of IPv6"),
        ("postgresql://u@[::1]5/d", "a port in it cannot be read"),
        ("postgresql://u@a,b/d?port=1,2,3", "not as many ports as hosts"),
        ("postgresql://u@h/d/e", "more than one / behind the host"),
        ("postgresql://u@h/d?host=a", "the parameter host is in the address too"),
        ("postgresql://u:s3cret@h/d?password=s3cret", "the parameter password is in the address too"),
        ("postgresql://u@h/d?sslmode=require&sslmode=require", "the parameter sslmode is given twice"),
        ("postgresql://u@h/d?service=s3cret", "the parameter service is not supported"),
        ("postgresql://u@h/d?pgbouncer=true", "the parameter pgbouncer is not supported"),
        ("postgresql://u@h/d?sslmode=s3cret", "an sslmode that is none"),
        ("postgresql://u@h/d?channel_binding=s3cret", "a channel_binding that is none"),
    ] {
        let error = Url::parse(text).expect_err(text);
        assert_eq!(error.problem, problem, "{text}");
        assert!(!error.problem.contains("s3") && !error.expected.contains("s3"), "{error:?}");
    }
}

#[test]
fn loopback_and_unix_sockets_are_local() {
    for (hosts, is_local) in [
        ("127.0.0.1", true),
        ("127.1.2.3,localhost,[::1],%2Frun", true),
        ("[::ffff:127.0.0.1]", true),
        ("db", false),
        ("127.0.0.1,db", false),
        ("10.0.0.1", false),
        ("localhost.example.com", false),
    ] {
        assert_eq!(parsed(&format!("postgresql://u@{hosts}/d")).is_local(), is_local, "{hosts}");
    }
}
