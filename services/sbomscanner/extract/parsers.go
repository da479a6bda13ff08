package extract

import (
	"fmt"
	"sync"

	cpb "github.com/google/osv-scalibr/binary/proto/config_go_proto"
	"github.com/google/osv-scalibr/extractor/filesystem"
	"github.com/google/osv-scalibr/extractor/filesystem/language/cpp/conanlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dart/pubspec"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/csproj"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/depsjson"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/nugetcpm"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/packagesconfig"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/packageslockjson"
	"github.com/google/osv-scalibr/extractor/filesystem/language/elixir/mixlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/golang/gobinary"
	"github.com/google/osv-scalibr/extractor/filesystem/language/golang/gomod"
	"github.com/google/osv-scalibr/extractor/filesystem/language/haskell/cabal"
	"github.com/google/osv-scalibr/extractor/filesystem/language/haskell/stacklock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/java/gradlelockfile"
	"github.com/google/osv-scalibr/extractor/filesystem/language/java/gradleverificationmetadataxml"
	"github.com/google/osv-scalibr/extractor/filesystem/language/javascript/bunlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/javascript/pnpmlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/javascript/yarnlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/julia/manifesttoml"
	"github.com/google/osv-scalibr/extractor/filesystem/language/php/composerlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/pdmlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/pipfilelock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/pylock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/requirements"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/wheelegg"
	"github.com/google/osv-scalibr/extractor/filesystem/language/r/renvlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/ruby/gemfilelock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/ruby/gemspec"
	"github.com/google/osv-scalibr/extractor/filesystem/language/swift/packageresolved"
	"github.com/google/osv-scalibr/extractor/filesystem/language/swift/podfilelock"
	"github.com/google/osv-scalibr/extractor/filesystem/os/apk"
	"github.com/google/osv-scalibr/extractor/filesystem/os/dpkg"
	"github.com/google/osv-scalibr/log"
)

// parser reads one kind of file.
type parser struct {
	filesystem.Extractor

	atOffsets bool // reads parts of the file at offsets, such as sections of a program; it is not read whole
}

// constructor is the function New of a scalibr extractor.
type constructor func(*cpb.PluginConfig) (filesystem.Extractor, error)

// textParsers read lock files, manifests and package databases, beside readers.
var textParsers = [...]constructor{
	apk.New, dpkg.New,
	conanlock.New,
	csproj.New, depsjson.New, nugetcpm.New, packagesconfig.New, packageslockjson.New,
	bunlock.New, installedNPM, pnpmlock.New, yarnlock.New,
	cabal.New, stacklock.New,
	composerlock.New,
	gemfilelock.New, gemspec.New,
	gomod.New,
	gradlelockfile.New, gradleverificationmetadataxml.New,
	manifesttoml.New,
	mixlock.New,
	packageresolved.New, podfilelock.New,
	pdmlock.New, pipfilelock.New, pylock.New, requirements.New, wheelegg.New,
	pubspec.New,
	renvlock.New,
}

// programParsers read what a compiler wrote into a program about its dependencies.
var programParsers = [...]constructor{rustProgram, gobinary.New}

func allParsers() (parsers []parser, err error) {
	for _, construct := range textParsers {
		e, err := construct(&cpb.PluginConfig{})
		if err != nil {
			return nil, fmt.Errorf("extractor %T: %w", e, err)
		}
		parsers = append(parsers, parser{Extractor: e})
	}
	for _, r := range readers() {
		parsers = append(parsers, parser{Extractor: r})
	}
	parsers = append(parsers, parser{Extractor: javaReader(), atOffsets: true})
	for _, construct := range programParsers {
		e, err := construct(&cpb.PluginConfig{})
		if err != nil {
			return nil, fmt.Errorf("extractor %T: %w", e, err)
		}
		parsers = append(parsers, parser{Extractor: programParser{e}, atOffsets: true})
	}
	return parsers, nil
}

func extractorsOf(parsers []parser) []filesystem.Extractor {
	extractors := make([]filesystem.Extractor, len(parsers))
	for i, p := range parsers {
		extractors[i] = p.Extractor
	}
	return extractors
}

func allAtOffsets(parsers []parser) bool {
	for _, p := range parsers {
		if !p.atOffsets {
			return false
		}
	}
	return true
}

// silenced makes silence act once: scalibr has one logger for the process and no lock for it.
var silenced sync.Once

// silence keeps scalibr from logging text of scanned files. What it could not read is in its results.
func silence() { silenced.Do(func() { log.SetLogger(silentLogger{}) }) }

type silentLogger struct{}

func (silentLogger) Errorf(string, ...any) {}
func (silentLogger) Error(...any)          {}
func (silentLogger) Warnf(string, ...any)  {}
func (silentLogger) Warn(...any)           {}
func (silentLogger) Infof(string, ...any)  {}
func (silentLogger) Info(...any)           {}
func (silentLogger) Debugf(string, ...any) {}
func (silentLogger) Debug(...any)          {}
