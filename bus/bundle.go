package bus

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
)

// The files of a bundle, as "ironpost bus" makes it: what a host or a plug-in needs to join a bus.
// SeedSuffix follows the name of a module.
const (
	BundleCA   = "ca.pem"
	BundleCert = "client.pem"
	BundleKey  = "client.key"
	SeedSuffix = ".seed"
)

// FromBundle returns the options with which module on host connects to the bus at url, such as
// tls://hub:4443, with the files of the folder dir.
func FromBundle(dir, module, host, url string) (Options, error) {
	ca, err := os.ReadFile(filepath.Join(dir, BundleCA))
	if err != nil {
		return Options{}, fmt.Errorf("bundle: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return Options{}, fmt.Errorf("bundle: %s holds no certificate", filepath.Join(dir, BundleCA))
	}
	cert, key := filepath.Join(dir, BundleCert), filepath.Join(dir, BundleKey)
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		return Options{}, fmt.Errorf("bundle: %w", err)
	}
	current := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // of each connection: it may have been renewed
		pair, err := tls.LoadX509KeyPair(cert, key)
		return &pair, err
	}
	return Options{
		Module: module, Host: host, URL: url, CredentialsFile: filepath.Join(dir, module+SeedSuffix),
		TLS: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, GetClientCertificate: current},
	}, nil
}
