package provider

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
)

// signCertificate is the word for a call that a client certificate signs.
const signCertificate = "certificate"

// errCertificate quotes nothing: a parser's own words may hold a piece of a key.
var errCertificate = errors.New("certificate, key or roots are not usable")

// showCertificate lets a transport show the certificate of values. A server is
// held to the roots of values alone: who issued the certificate vouches for
// itself by them, and nobody else's word counts.
func showCertificate(transport *http.Transport, values map[string]string) error {
	pair, err := tls.X509KeyPair([]byte(values["certificate"]), []byte(values["token"]))
	if err != nil {
		return errCertificate
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(values["roots"])) {
		return errCertificate
	}
	transport.TLSClientConfig = &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12}
	return nil
}
