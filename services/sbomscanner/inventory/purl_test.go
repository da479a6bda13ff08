package inventory_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

func TestPackageURLsAreReadBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, name, version, url, ecosystem string }{
		{"npm", "@angular/core", "17.0.1", "pkg:npm/%40angular/core@17.0.1", "npm"},
		{"golang", "golang.org/x/net", "0.30.0", "pkg:golang/golang.org/x/net@v0.30.0", "Go"},
		{"golang", "stdlib", "1.26.5", "pkg:golang/stdlib@1.26.5", "Go"},
		{"maven", "org.Apache:Log4j", "2.0", "pkg:maven/org.Apache/Log4j@2.0", "Maven"},
		{"composer", "symfony/http-kernel", "v5.4.1", "pkg:composer/symfony/http-kernel@v5.4.1", "Packagist"},
		{"cargo", "serde", "1.0.0+x", "pkg:cargo/serde@1.0.0%2Bx", "crates.io"},
		{"swift", "github.com/apple/swift-nio", "2.0.0", "pkg:swift/github.com/apple/swift-nio@2.0.0", "SwiftURL"},
	} {
		made, err := inventory.NewPackage(c.kind, c.name, c.version, nil)
		require.NoError(t, err)
		require.Equal(t, inventory.Package{PURL: c.url, Name: c.name, Version: c.version, Ecosystem: c.ecosystem}, made)
		read, err := inventory.FromPURL(c.url)
		require.NoError(t, err)
		require.Equal(t, made, read)
	}
}

func TestDistributionPackagesNameReleaseAndSource(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]inventory.Package{
		"pkg:deb/debian/libssl3@3.0.11-1?arch=amd64&distro=debian-12&upstream=openssl%403.0.11": {Ecosystem: "Debian:12", Name: "libssl3", AdvisoryName: "openssl", AdvisoryVersion: "3.0.11"},
		"pkg:deb/ubuntu/bash@5.1-6?distro=ubuntu-22.04":                                         {Ecosystem: "Ubuntu:22.04:LTS", Name: "bash"},
		"pkg:deb/debian/bash@5.1-6?distro=bookworm&source=bash-src":                             {Ecosystem: "Debian:12", Name: "bash", AdvisoryName: "bash-src"},
		"pkg:apk/alpine/libcrypto3@3.3.1-r0?distro=alpine-3.20.1&upstream=openssl":              {Ecosystem: "Alpine:v3.20", Name: "libcrypto3", AdvisoryName: "openssl"},
	} {
		p, err := inventory.FromPURL(url)
		require.NoError(t, err)
		require.Equal(t, url, p.PURL)
		p.PURL, p.Version = "", ""
		require.Equal(t, want, p)
	}
}

func TestBadPackageURLIsAnError(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "npm/x@1", "pkg:npm", "pkg:npm/%zz@1", "pkg://"} {
		_, err := inventory.FromPURL(url)
		require.Error(t, err, url)
	}
}
