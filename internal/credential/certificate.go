package credential

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// How long certificates are valid. Clocks of other machines may be behind by up to clockSkew.
const (
	authorityValid = 10 * 365 * 24 * time.Hour
	leafValid      = 365 * 24 * time.Hour
	clockSkew      = time.Hour
)

// WarnBefore is how long before its end a certificate is a reason in the health.
const WarnBefore = 30 * 24 * time.Hour

// pair is a certificate and its key, in PEM.
type pair struct{ cert, key []byte }

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority makes an authority for one bus.
func newAuthority(now time.Time) (pair, error) {
	template := template("ironpost bus authority", now, authorityValid)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageCertSign, nil
	return sign(template, nil)
}

// server returns a certificate of the daemon for names, which are host names and addresses. It
// serves as a client certificate, too, for modules on the same machine.
func (a *authority) server(names []string, now time.Time) (pair, error) {
	t := template("ironpost bus", now, leafValid)
	t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	return sign(t, a)
}

// client returns a client certificate called name.
func (a *authority) client(name string, now time.Time) (pair, error) {
	return sign(template(name, now, leafValid), a)
}

// template returns a client certificate without a signature.
func template(name string, now time.Time, valid time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// sign makes a key and a certificate for it, signed by a or, if a is nil, by itself.
func sign(t *x509.Certificate, a *authority) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	const serialBits = 127 // positive and at most 20 octets (RFC 5280, section 4.1.2.2)
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits)); err != nil {
		return pair{}, err
	}
	parent, signer := t, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return pair{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, err
	}
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}, nil
}

// parseAuthority reads what newAuthority made.
func parseAuthority(p pair) (*authority, error) {
	cert, err := parseCertificate(p.cert)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(p.key)
	if block == nil {
		return nil, errors.New("no key in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T, want ECDSA", parsed)
	}
	return &authority{cert: cert, key: key}, nil
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// Expiring returns a sentence for each of the PEM files whose first certificate ends within
// WarnBefore of now. An empty path, and a file that cannot be read, has none: that is reported
// where the file is used.
func Expiring(now time.Time, paths ...string) []string {
	var out []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if path == "" || err != nil {
			continue
		}
		cert, err := parseCertificate(text)
		if err != nil || cert.NotAfter.Sub(now) > WarnBefore {
			continue
		}
		verb := "expires"
		if cert.NotAfter.Before(now) {
			verb = "has expired"
		}
		out = append(out, fmt.Sprintf("the certificate %s %s at %s: renew it with ironpost bus", path, verb, cert.NotAfter.UTC().Format(time.RFC3339)))
	}
	return out
}
