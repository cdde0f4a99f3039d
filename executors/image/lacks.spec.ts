import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';
import { describeWithEngine, docker } from '../../e2e/support/engine';
import { hostContainerPlatform } from '../../platform';
import image, { type ImageTargetOptions } from './executor';

jest.setTimeout(600_000);

const root = mkdtempSync(join(tmpdir(), 'slim-go-predict-'));
const reference = `slim-go-predict-${process.pid}`;
const host = hostContainerPlatform().architecture;
const architectures = ['amd64', 'arm64'];

const main = (imports: string, body: string): string =>
  `package main\n\nimport (\n\t"fmt"\n\t"os"\n${imports
    .split(' ')
    .filter(Boolean)
    .map((path) => `\t${path.startsWith('_') ? `_ "${path.slice(1)}"` : `"${path}"`}\n`)
    .join(
      '',
    )})\n\nfunc main() {\n\terr := run()\n\tfmt.Println(err)\n\tif err != nil {\n\t\tos.Exit(1)\n\t}\n}\n\nfunc run() error {\n${body}\n}\n`;

/** Speaks TLS with itself, and an authority that `go run ./authority` made has signed it. */
const tlsServer = (imports: string, first = '') =>
  main(
    `crypto/tls embed net net/http ${imports}`,
    `${first}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:8443", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		return err
	}
	go http.Serve(listener.(net.Listener), http.NotFoundHandler())
	_, err = http.Get("https://127.0.0.1:8443/")
	return err`,
  )
    .replace(
      'func main',
      '//go:embed server.pem\nvar certificate []byte\n\n//go:embed server.key\nvar key []byte\n\nfunc main',
    )
    .replace('"embed"', '_ "embed"');

const files: Record<string, string> = {
  'go.mod': 'module example.com/acme\n\ngo 1.25.0\n',
  'libs/zone/zone.go':
    'package zone\n\nimport "time"\n\nfunc Berlin() (*time.Location, error) { return time.LoadLocation("Europe/Berlin") }\n',
  'zones/main.go': main('example.com/acme/libs/zone', '\t_, err := zone.Berlin()\n\treturn err'),
  'zonescured/main.go': main('_time/tzdata example.com/acme/libs/zone', '\t_, err := zone.Berlin()\n\treturn err'),
  'localtime/main.go': main(
    'time',
    '\tif name, _ := time.Unix(0, 0).Zone(); name == "UTC" {\n\t\treturn fmt.Errorf("it is UTC")\n\t}\n\treturn nil',
  ),
  'localtimecured/main.go': main(
    '_time/tzdata time',
    '\tif name, _ := time.Unix(0, 0).Zone(); name == "UTC" {\n\t\treturn fmt.Errorf("it is UTC")\n\t}\n\treturn nil',
  ),
  'https/main.go': tlsServer(''),
  'user/main.go': main('os/user', '\t_, err := user.Current()\n\treturn err'),
  'lookup/main.go': main('os/user', '\t_, err := user.Lookup("app")\n\treturn err'),
  'group/main.go': main('os/user', '\t_, err := user.LookupGroup("staff")\n\treturn err'),
  'temp/main.go': main('', '\t_, err := os.CreateTemp("", "x")\n\treturn err'),
  'tempdir/main.go': main('', '\t_, err := os.MkdirTemp("", "x")\n\treturn err'),
  'starts/main.go': main('os/exec', '\treturn exec.Command("helper", os.Args[1:]...).Run()'),
  'helper/main.go': 'package main\n\nfunc main() { println("helping") }\n',
  // The root certificates of x509roots/bundle are those of x509roots/fallback, which makes them trusted.
  ...Object.fromEntries(
    ['', '_golang.org/x/crypto/x509roots/fallback '].map((fallback) => [
      `roots${fallback && 'cured'}/main.go`,
      main(
        `${fallback}crypto/x509 net/http golang.org/x/crypto/x509roots/fallback/bundle`,
        `	if len(os.Args) > 1 {
		_, err := http.Get("https://example.com/")
		return err
	}
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return err
		}
		_, err = certificate.Verify(x509.VerifyOptions{CurrentTime: certificate.NotBefore})
		return err
	}
	return fmt.Errorf("no roots")`,
      ),
    ]),
  ),
  // What is in no need of anything, however much it looks like it.
  'quiet/main.go': main(
    'net/http os/exec time',
    `	if len(os.Args) > 1 {
		_, err := (&http.Client{}).Get("http://" + os.Args[1] + "/healthz")
		return err
	}
	if _, err := time.LoadLocation("UTC"); err != nil {
		return err
	}
	if _, err := time.LoadLocation("Local"); err != nil {
		return err
	}
	if _, err := exec.LookPath("git"); err == nil {
		return exec.Command("git").Run()
	}
	if folder := os.Getenv("CACHE"); folder != "" {
		_, err := os.CreateTemp(folder, "x")
		return err
	}
	fmt.Println("see", "https://example.com/docs")
	return nil`,
  ),
  'authority/main.go': `package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"time"
)

func main() {
	now := time.Now()
	make := func(name string, isCA bool, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: isCA, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
		if parent == nil {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			panic(err)
		}
		os.WriteFile(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
		raw, _ := x509.MarshalECPrivateKey(key)
		os.WriteFile(name+".key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), 0o644)
		certificate, _ := x509.ParseCertificate(der)
		return certificate, key
	}
	authority, key := make("authority", true, nil, nil)
	make("server", false, authority, key)
}
`,
  'etc/passwd': 'app:x:65532:65532::/home:/none\n',
  'etc/group': 'staff:x:50:\n',
  'tmp/.keep': '',
};

function go(args: readonly string[], cwd = root, env: Readonly<Record<string, string>> = {}): void {
  execFileSync('go', args, {
    cwd,
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod', ...env },
    stdio: 'pipe',
  });
}

beforeAll(() => {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  go(['run', '../authority'], join(root, 'https'));
  cpSync(join(root, 'https', 'authority.pem'), join(root, 'authority.pem'));
  go(['get', 'golang.org/x/crypto/x509roots/fallback@latest']);
  for (const GOARCH of architectures) {
    const flags = ['-trimpath', '-ldflags=-s -w'];
    go(['build', ...flags, '-o', `bin/linux/${GOARCH}/`, './...'], root, { GOOS: 'linux', GOARCH });
    const env = { GOOS: 'linux', GOARCH };
    go(['build', ...flags, '-tags=timetzdata', '-o', `bin/linux/${GOARCH}/zonestag`, './zones'], root, env);
    go(['build', ...flags, '-buildmode=pie', '-o', `bin/linux/${GOARCH}/loader`, './helper'], root, env);
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Builds an image of one program with the executor, and gives what it says on standard error. */
async function build(program: string, lines: readonly string[] = [], options: Partial<ImageTargetOptions> = {}) {
  const project = `app-${program}`;
  mkdirSync(join(root, project), { recursive: true });
  const dockerfile = [
    'FROM scratch',
    'ARG TARGETPLATFORM',
    `COPY bin/\${TARGETPLATFORM}/${program} /app`,
    'USER 65532:65532',
    ...lines,
    'ENTRYPOINT ["/app"]',
  ];
  writeFileSync(join(root, project, 'Dockerfile'), `${dockerfile.join('\n')}\n`);
  const context = {
    root,
    projectName: project,
    projectsConfigurations: { version: 2, projects: { [project]: { root: project } } },
  } as unknown as ExecutorContext;
  let said = '';
  const spies = [
    jest.spyOn(process.stdout, 'write').mockImplementation(() => true),
    jest.spyOn(process.stderr, 'write').mockImplementation((text) => {
      said += text;
      return true;
    }),
  ];
  const { success } = await image(
    {
      engine: 'embedded',
      buildArgs: {},
      buildContexts: {},
      ignoreWarnings: [],
      plainHttp: false,
      labels: {},
      stamp: false,
      progress: 'auto',
      context: '.',
      reference,
      platforms: [`linux/${host}`],
      ...options,
    },
    context,
  ).finally(() => {
    for (const spy of spies) spy.mockRestore();
  });
  expect({ success, said: success ? '' : said }).toEqual({ success: true, said: '' });
  return { said, archive: join(root, project, 'dist', 'image', 'image.tar') };
}

const kinds = (said: string) => [...said.matchAll(/^warning: \S+ \(([a-z-]+)\): /gm)].map(([, kind]) => kind);

interface Twins {
  readonly kind: string;
  readonly program: string;
  readonly lines?: readonly string[];
  /** What the program dies of. */
  readonly dies: RegExp;
  readonly message: RegExp;
  readonly cures: readonly { readonly program?: string; readonly lines?: readonly string[] }[];
}

const twins: readonly Twins[] = [
  {
    kind: 'time-zones',
    program: 'zones',
    dies: /unknown time zone Europe\/Berlin/,
    message:
      /example\.com\/acme\/libs\/zone calls time\.LoadLocation\("Europe\/Berlin"\), and the image has no time zones/,
    cures: [
      { program: 'zonescured' },
      { program: 'zonestag' },
      { lines: ['COPY zoneinfo.zip /', 'ENV ZONEINFO=/zoneinfo.zip'] },
    ],
  },
  {
    kind: 'time-zones',
    program: 'localtime',
    lines: ['ENV TZ=Europe/Berlin'],
    dies: /it is UTC/,
    message: /the image sets TZ=Europe\/Berlin, and the image has no such time zone: local time is UTC/,
    cures: [{ program: 'localtimecured', lines: ['ENV TZ=Europe/Berlin'] }],
  },
  {
    kind: 'tls-roots',
    program: 'https',
    dies: /certificate signed by unknown authority/,
    message: /example\.com\/acme\/https calls net\/http\.Get, and the image has no root certificates/,
    cures: [
      { lines: ['COPY authority.pem /etc/ssl/certs/ca-certificates.crt'] },
      { lines: ['COPY authority.pem /own.pem', 'ENV SSL_CERT_FILE=/own.pem'] },
    ],
  },
  {
    kind: 'tls-roots',
    program: 'roots',
    dies: /certificate signed by unknown authority/,
    message: /example\.com\/acme\/roots calls net\/http\.Get/,
    cures: [{ program: 'rootscured' }],
  },
  {
    kind: 'users',
    program: 'user',
    dies: /user: Current requires cgo or \$USER/,
    message: /example\.com\/acme\/user calls os\/user\.Current, and the image has no \/etc\/passwd/,
    cures: [{ lines: ['ENV USER=app'] }, { lines: ['COPY etc/passwd /etc/passwd'] }],
  },
  {
    kind: 'users',
    program: 'lookup',
    dies: /open \/etc\/passwd: no such file/,
    message: /calls os\/user\.Lookup\("app"\)/,
    cures: [{ lines: ['ENV USER=app'] }, { lines: ['COPY etc/passwd /etc/passwd'] }],
  },
  {
    kind: 'users',
    program: 'group',
    lines: ['COPY etc/passwd /etc/group'],
    dies: /unknown group staff/,
    message: /\/etc\/group of the image has no group staff/,
    cures: [{ lines: ['COPY etc/group /etc/group'] }],
  },
  {
    kind: 'temp-files',
    program: 'temp',
    dies: /open \/tmp\/x\d+: no such file or directory/,
    message: /example\.com\/acme\/temp calls os\.CreateTemp, and the image has no \/tmp/,
    cures: [{ lines: ['ENV TMPDIR=/dev/shm'] }, { lines: ['COPY --chown=65532:65532 tmp /tmp'] }],
  },
  {
    kind: 'temp-files',
    program: 'tempdir',
    lines: ['COPY tmp /tmp'],
    dies: /mkdir \/tmp\/x\d+: permission denied/,
    message: /\/tmp can't be written by the user 65532:65532/,
    cures: [{ lines: ['COPY tmp /tmp', 'USER 0'] }],
  },
  {
    kind: 'temp-files',
    program: 'tempdir',
    lines: ['VOLUME /tmp'],
    dies: /mkdir \/tmp\/x\d+: permission denied/,
    message: /\/tmp can't be written/,
    cures: [{ lines: ['VOLUME /tmp', 'USER 0'] }],
  },
  {
    kind: 'programs',
    program: 'starts',
    dies: /exec: "helper": executable file not found/,
    message: /example\.com\/acme\/starts calls os\/exec\.Command\("helper"\), and the image has no helper in its PATH/,
    cures: [{ lines: [`COPY bin/linux/${host}/helper /usr/bin/helper`] }],
  },
  {
    kind: 'loader',
    program: 'loader',
    dies: /no such file or directory/,
    message: /it needs the dynamic loader \/lib\S+, and the image has no such file/,
    cures: [{ program: 'helper' }],
  },
];

const title = ({ program = '', lines = [] }: { program?: string; lines?: readonly string[] }) =>
  [program, ...lines].filter(Boolean).join(', ');
const named = twins.map((one) => [`${one.kind}: ${title(one)}`, one] as const);

function run(archive: string): { status: number | null; output: string } {
  docker('load', '-q', '-i', archive);
  const { status, stdout, stderr } = spawnSync('docker', ['run', '--rm', reference], { encoding: 'utf8' });
  return { status, output: `${stdout}${stderr}` };
}

describeWithEngine('what fails in a container', () => {
  beforeAll(() => {
    const goroot = execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim();
    cpSync(join(goroot, 'lib', 'time', 'zoneinfo.zip'), join(root, 'zoneinfo.zip'));
  });
  afterAll(() => docker('rmi', '-f', reference));

  it.each(named)(
    'is predicted, and its cured twins run and are not: %s',
    async (_, { kind, dies, message, cures, ...twin }) => {
      const failing = await build(twin.program, twin.lines);
      expect(kinds(failing.said)).toEqual([kind]);
      expect(failing.said).toMatch(message);
      const death = run(failing.archive);
      expect(death.output).toMatch(dies);
      expect(death.status).not.toBe(0);
      for (const cure of cures) {
        const cured = await build(cure.program ?? twin.program, cure.lines);
        expect({ ...cure, said: cured.said, ...run(cured.archive) }).toMatchObject({ said: '', status: 0 });
      }
    },
  );

  it('says nothing of a program that is in no need', async () => {
    const { said, archive } = await build('quiet');
    expect({ said, ...run(archive) }).toMatchObject({ said: '', status: 0 });
  });

  it('sees the files of an image that the container engine built', async () => {
    expect(kinds((await build('temp', [], { engine: 'docker' })).said)).toEqual(['temp-files']);
    const cured = await build('temp', ['COPY --chown=65532:65532 tmp /tmp'], { engine: 'docker' });
    expect({ said: cured.said, ...run(cured.archive) }).toMatchObject({ said: '', status: 0 });
  });
});

describe('predicted failures', () => {
  it.each(named)('are the same for every architecture that can be read: %s', async (_, { program, lines, kind }) => {
    for (const architecture of architectures) {
      const { said } = await build(program, lines, { platforms: [`linux/${architecture}`] });
      expect([architecture, kinds(said)]).toEqual([architecture, [kind]]);
    }
  });

  it('are said once for several platforms, with the cure, and not at all where they are not to be', async () => {
    const platforms = architectures.map((architecture) => `linux/${architecture}`);
    const { said } = await build('zones', [], { platforms });
    expect(said).toBe(
      'warning: app-zones (time-zones): example.com/acme/libs/zone calls time.LoadLocation("Europe/Berlin"), and the image has no time zones.\n' +
        '  import _ "time/tzdata", or build with the tag timetzdata.\n',
    );
    expect((await build('zones', [], { ignoreWarnings: ['time-zones'] })).said).toBe('');
    expect(kinds((await build('zones', [], { ignoreWarnings: ['users'] })).said)).toEqual(['time-zones']);
  });
});
