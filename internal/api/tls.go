package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// reloadEvery is how often the files of a certificate are looked at.
const reloadEvery = 10 * time.Second

// Pair is a certificate and its key, in two PEM files.
type Pair struct {
	certFile, keyFile string
	now               atomic.Pointer[loaded]
}

// loaded is what the files held when they were read.
type loaded struct {
	certPEM, keyPEM []byte
	cert            tls.Certificate
}

// LoadPair reads a certificate (with its chain) and its key.
func LoadPair(certFile, keyFile string) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile}
	_, err := p.reload()
	return p, err
}

// reload reads the files again and says whether they hold something new. After
// an error what was read before stays in use.
func (p *Pair) reload() (changed bool, err error) {
	l := &loaded{}
	if l.certPEM, err = os.ReadFile(p.certFile); err != nil {
		return false, fmt.Errorf("read the certificate: %w", err)
	}
	if l.keyPEM, err = os.ReadFile(p.keyFile); err != nil {
		return false, fmt.Errorf("read the certificate's key: %w", err)
	}
	old := p.now.Load()
	if old != nil && bytes.Equal(old.certPEM, l.certPEM) && bytes.Equal(old.keyPEM, l.keyPEM) {
		return false, nil
	}
	if l.cert, err = tls.X509KeyPair(l.certPEM, l.keyPEM); err != nil {
		return false, fmt.Errorf("the certificate in %s and the key in %s: %w", p.certFile, p.keyFile, err)
	}
	p.now.Store(l)
	return true, nil
}

// Config returns a server's configuration: each handshake gets the certificate
// that is there by then.
func (p *Pair) Config() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &p.now.Load().cert, nil
	}}
}

// Watch reads the files again when they change, until ctx is done.
func (p *Pair) Watch(ctx context.Context, log *slog.Logger) {
	t := time.NewTicker(reloadEvery)
	defer t.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		changed, err := p.reload()
		switch {
		case err != nil && err.Error() != told: // files are often replaced one after the other
			told = err.Error()
			log.Warn("the certificate cannot be read again; the one before stays in use", "err", err)
		case changed:
			told = ""
			log.Info("the certificate was read again")
		}
	}
}

// localLife is how long a self-made certificate is good for; browsers refuse
// more than 398 days.
const localLife = 397 * 24 * time.Hour

// LocalPair returns a self-made certificate for this machine's own names, kept
// in dir so that a browser has to be told only once. It is made anew when it is
// missing, damaged or about to expire.
func LocalPair(dir string) (*Pair, error) {
	certFile, keyFile := filepath.Join(dir, "tls-cert.pem"), filepath.Join(dir, "tls-key.pem")
	if p, err := LoadPair(certFile, keyFile); err == nil {
		if leaf := p.now.Load().cert.Leaf; leaf != nil && time.Until(leaf.NotAfter) > 24*time.Hour {
			return p, nil
		}
	} else if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	certPEM, keyPEM, err := selfSigned(time.Now())
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	err = errors.Join(os.WriteFile(keyFile, keyPEM, 0o600), os.WriteFile(certFile, certPEM, 0o644))
	if err != nil {
		return nil, fmt.Errorf("keep the certificate: %w", err)
	}
	return LoadPair(certFile, keyFile)
}

func selfSigned(now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Spillway on this machine"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(localLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return certPEM, keyPEM, nil
}
