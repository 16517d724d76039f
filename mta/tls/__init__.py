"""TLS as Postfix's programs use it (the tls library): server and client engines over OpenSSL."""
