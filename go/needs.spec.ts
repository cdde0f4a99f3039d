import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Need, needsOf } from './needs';
import { Program } from './program';

jest.setTimeout(600_000);

const root = mkdtempSync(join(tmpdir(), 'slim-go-needs-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const modules: Readonly<Record<string, string>> = {
  'github.com/jackc/pgx/v5': 'v5.7.2',
  'github.com/prometheus/client_golang': 'v1.20.5',
  'github.com/redis/go-redis/v9': 'v9.7.0',
  'github.com/robfig/cron/v3': 'v3.0.1',
  'github.com/spf13/cobra': 'v1.8.1',
  'k8s.io/klog/v2': 'v2.130.1',
  'github.com/go-resty/resty/v2': 'v2.16.5',
  'github.com/google/go-github/v66': 'v66.0.0',
};

const files: Record<string, string> = {
  // Drivers that ask for the user and may speak TLS, a logger that asks for the user, zones that somebody may name.
  'server/main.go': `package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	"github.com/robfig/cron/v3"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

func main() {
	command := &cobra.Command{Use: "server", Run: func(*cobra.Command, []string) {
		klog.Info("starting")
		conn, err := pgx.Connect(context.Background(), os.Getenv("DATABASE_URL"))
		fmt.Println(conn, err, redis.NewClient(&redis.Options{Addr: os.Getenv("REDIS")}).Ping(context.Background()))
		cron.New().AddFunc("@hourly", func() {})
		http.Handle("/metrics", promhttp.Handler())
		http.HandleFunc("/probe", func(http.ResponseWriter, *http.Request) {
			response, err := http.Get("http://127.0.0.1:8080/metrics")
			fmt.Println(response, err)
		})
		http.ListenAndServe(":8080", nil)
	}}
	command.Execute()
}
`,
  'wrapped/main.go': `package main

import (
	"fmt"

	"github.com/go-resty/resty/v2"
)

func main() {
	response, err := resty.New().R().Get("https://api.example.com/")
	fmt.Println(response, err)
}
`,
  'library/main.go': `package main

import (
	"context"
	"fmt"

	"github.com/google/go-github/v66/github"
)

func main() {
	user, _, err := github.NewClient(nil).Users.Get(context.Background(), "gopher")
	fmt.Println(user, err)
}
`,
  // The address is a variable, and sent elsewhere than it is named.
  'constructed/main.go': `package main

import (
	"fmt"
	"net/http"
	"os"
)

var base = "https://api.example.com"

type client struct{ base string }

func newClient() *client { return &client{base} }

func (c *client) get(path string) error {
	request, err := http.NewRequest("GET", c.base+path, nil)
	if err != nil {
		return err
	}
	_, err = http.DefaultClient.Do(request)
	return err
}

func main() { fmt.Println(newClient().get(os.Args[1])) }
`,
  // A link for people is no address that is connected to.
  'link/main.go': `package main

import (
	"fmt"
	"net/http"
	"os"
)

func help() { fmt.Printf("https://example.com/docs tells about %s\\n", os.Args[0]) }

func fetch(url string) { fmt.Println(http.Get(url)) }

func main() {
	help()
	fetch(os.Args[1])
}
`,
  'ownroots/main.go': `package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
)

func main() {
	pool := x509.NewCertPool()
	authority, _ := os.ReadFile(os.Args[1])
	pool.AppendCertsFromPEM(authority)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	fmt.Println(client.Get("https://internal.example.com/"))
}
`,
};

function go(...args: string[]): void {
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod', GOOS: 'linux', GOARCH: 'amd64' };
  execFileSync('go', args, { cwd: root, env, stdio: 'pipe' });
}

beforeAll(() => {
  for (const [name, text] of Object.entries({ 'go.mod': 'module example.com/acme\n\ngo 1.25.0\n', ...files })) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  go('get', ...Object.entries(modules).map((pair) => pair.join('@')));
  mkdirSync(join(root, 'bin'));
  go('build', '-trimpath', '-ldflags=-s -w', '-o', 'bin/', './...');
});

function needs(program: string): readonly Need[] {
  const found = Program.use({ path: join(root, 'bin', program), offsetBytes: 0, sizeBytes: 0 }, needsOf)!;
  return found.filter(({ kind }) => kind !== 'local-time');
}

it.each(['server', 'link', 'ownroots'])('finds no need in %s', (program) => {
  expect(needs(program)).toEqual([]);
});

it.each([
  ['wrapped', 'github.com/go-resty/resty/v2'],
  ['library', 'github.com/google/go-github/v66/github'],
  ['constructed', 'example.com/acme/constructed'],
])('finds that %s speaks TLS, through %s', (program, path) => {
  expect(needs(program)).toEqual([
    { kind: 'tls-roots', package: path, call: 'net/http.(*Client).Do', argument: undefined },
  ]);
});
