import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logger, type Tree } from '@nx/devkit';
import { workspace } from '../workspace.testdata';
import docker from './generator';
import { predict } from './needs';
import { readSources } from './source';

function withProgram(main: string): Tree {
  const tree = workspace();
  tree.write('go.mod', 'module example.com/acme\n\ngo 1.21\n');
  tree.write('cmd/server/main.go', main);
  return tree;
}

const generate = (tree: Tree, directory = 'cmd/server', options = {}) =>
  docker(tree, { base: 'scratch', skipFormat: true, directory, ...options });

async function warnings(work: () => Promise<unknown>): Promise<string[]> {
  const said: string[] = [];
  const warn = jest.spyOn(logger, 'warn').mockImplementation((line) => said.push(line));
  await work().finally(() => warn.mockRestore());
  return said;
}

describe('slim-go:docker', () => {
  it('writes a Dockerfile with the port that the program listens on, and says what is missing', async () => {
    const main = `package main

import "net/http"

func main() {
	http.Get("https://example.com")
	http.ListenAndServe(":9090", nil)
}
`;
    const tree = withProgram(main);
    // On the disk as well: there it can be compiled.
    mkdirSync(join(tree.root, 'cmd', 'server'), { recursive: true });
    for (const file of ['go.mod', 'cmd/server/main.go']) writeFileSync(join(tree.root, file), tree.read(file) ?? '');
    const said = await warnings(() => generate(tree));
    expect(tree.read('cmd/server/Dockerfile', 'utf8')).toBe(
      'FROM scratch\nARG TARGETPLATFORM\nCOPY dist/${TARGETPLATFORM}/server /server\nUSER 65532:65532\nEXPOSE 9090\nENTRYPOINT ["/server"]\n',
    );
    expect(tree.read('cmd/server/.dockerignore', 'utf8')).toContain('!dist/linux');
    expect(said).toEqual([
      'example.com/acme/cmd/server calls net/http.Get, and the image has no root certificates.\n  import _ "golang.org/x/crypto/x509roots/fallback", or COPY certificates to /etc/ssl/certs/ca-certificates.crt.',
    ]);
  });

  it('says so where the program can not be compiled', async () => {
    const said = await warnings(() => generate(withProgram('package main\n\nfunc main() {}\n')));
    expect(said).toEqual([expect.stringMatching(/^It can't be compiled here, so that nothing is known/)]);
  });

  it('takes a base and a port that are named', async () => {
    const tree = withProgram('package main\n\nfunc main() {}\n');
    await generate(tree, 'cmd/server', { base: 'alpine', port: 7 });
    expect(tree.read('cmd/server/Dockerfile', 'utf8')).toMatch(/^FROM alpine:[\s\S]*EXPOSE 7\n/);
  });

  it('refuses what is no program, and overwrites nothing', async () => {
    await expect(generate(withProgram('package server\n'))).rejects.toThrow(/no main package in cmd\/server/);
    const tree = withProgram('package main\n');
    tree.write('cmd/server/Dockerfile', 'FROM mine\n');
    await expect(generate(tree)).rejects.toThrow(/cmd\/server has Dockerfile already/);
  });
});

describe('predict', () => {
  const program = (imports: string, body: string) => {
    const folder = mkdtempSync(join(tmpdir(), 'slim-go-predict-'));
    writeFileSync(join(folder, 'go.mod'), 'module example.com/acme\n\ngo 1.21\n');
    writeFileSync(join(folder, 'main.go'), `package main\n\nimport (\n${imports}\n)\n\nfunc main() {\n${body}\n}\n`);
    return folder;
  };

  it('knows what alpine has', async () => {
    const folder = program(
      '"net/http"; "os"; "os/exec"; "os/user"; "time"',
      'http.Get("https://example.com"); os.CreateTemp("", ""); exec.Command("sh").Run(); user.Current(); time.LoadLocation("Europe/Berlin")',
    );
    const kinds = async (base: 'scratch' | 'alpine') => (await predict(folder, base)).map(({ kind }) => kind).sort();
    expect(await kinds('scratch')).toEqual(['programs', 'temp-files', 'time-zones', 'tls-roots', 'users']);
    expect(await kinds('alpine')).toEqual(['time-zones', 'users']);
    rmSync(folder, { recursive: true });
  });

  it('says why a program does not compile', async () => {
    const folder = program('"fmt"', 'nothing()');
    await expect(predict(folder, 'scratch')).rejects.toThrow(/go build \. for linux/);
    rmSync(folder, { recursive: true });
  });
});

describe('readSources', () => {
  it.each([
    ['l, err := net.Listen("tcp", "127.0.0.1:8081")', 8081],
    ['s := http.Server{Addr: ":8082"}', 8082],
    ['http.ListenAndServeTLS("0.0.0.0:8443", c, k, nil)', 8443],
    ['// http.ListenAndServe(":8080", nil)', undefined],
    ['http.ListenAndServe(*addr, nil)', undefined],
    ['x := `//` ; http.ListenAndServe(":8083", nil)', 8083],
  ])('finds the port of %s', (source, port) => {
    expect(readSources([source]).port).toBe(port);
  });

  it.each([
    ['os.ReadFile("config.yml")', 'config.yml'],
    ['os.ReadFile("/etc/hosts")', undefined],
    ['/* os.ReadFile("config.yml") */', undefined],
  ])('finds the file that %s reads', (source, file) => {
    expect(readSources([source]).file).toBe(file);
  });
});
