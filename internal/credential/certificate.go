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
	"slices"
	"strings"
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
		if err != nil {
			continue
		}
		advice := "make a new bundle on the hub with ironpost bus add-host --replace"
		switch {
		case cert.IsCA:
			advice = "make a new authority with ironpost bus init in an empty data_dir/pki, and with it new bundles for all hosts"
		case slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth):
			advice = "renew it with ironpost bus renew, and reload the daemon"
		}
		out = append(out, certificateExpiring(now, path, cert, advice)...)
	}
	return out
}

// ServerExpiring is Expiring for the certificate that a server of an external bus has shown; nil is none.
func ServerExpiring(now time.Time, cert *x509.Certificate) []string {
	if cert == nil {
		return nil
	}
	name := "of the external bus, for " + strings.Join(certificateNames(cert), ", ") + ","
	return certificateExpiring(now, name, cert, "renew it (ironpost bus renew) and copy it to the servers")
}

// certificateExpiring returns the sentence for cert, if it ends within WarnBefore of now.
func certificateExpiring(now time.Time, name string, cert *x509.Certificate, advice string) []string {
	if cert.NotAfter.Sub(now) > WarnBefore {
		return nil
	}
	verb := "expires"
	if cert.NotAfter.Before(now) {
		verb = "has expired"
	}
	return []string{fmt.Sprintf("the certificate %s %s at %s: %s", name, verb, cert.NotAfter.UTC().Format(time.RFC3339), advice)}
}

// certificateNames returns the host names and addresses that cert is for.
func certificateNames(cert *x509.Certificate) []string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}
