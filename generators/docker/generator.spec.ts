import { logger, type Tree } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import docker from './generator';
import { needsOf } from './needs';

function workspace(main: string): Tree {
  const tree = createTreeWithEmptyWorkspace();
  tree.write('go.mod', 'module example.com/acme\n\ngo 1.21\n');
  tree.write('cmd/server/main.go', main);
  return tree;
}

const generate = (tree: Tree, directory = 'cmd/server', options = {}) =>
  docker(tree, { base: 'scratch', skipFormat: true, directory, ...options });

describe('slim-go:docker', () => {
  it('writes a Dockerfile with the port that the program listens on, and says what is missing', async () => {
    const said: unknown[] = [];
    const warn = jest.spyOn(logger, 'warn').mockImplementation((line) => said.push(line));
    const tree = workspace(
      'package main\n\nfunc main() {\n\thttp.Get("https://example.com")\n\thttp.ListenAndServe(":9090", nil)\n}\n',
    );
    await generate(tree);
    warn.mockRestore();
    expect(tree.read('cmd/server/Dockerfile', 'utf8')).toBe(
      'FROM scratch\nARG TARGETPLATFORM\nCOPY dist/${TARGETPLATFORM}/server /server\nUSER 65532:65532\nEXPOSE 9090\nENTRYPOINT ["/server"]\n',
    );
    expect(tree.read('cmd/server/.dockerignore', 'utf8')).toContain('!dist/linux');
    expect(said).toEqual([expect.stringContaining('x509roots/fallback')]);
  });

  it('takes a base and a port that are named', async () => {
    const tree = workspace('package main\n\nfunc main() {}\n');
    await generate(tree, 'cmd/server', { base: 'alpine', port: 7 });
    expect(tree.read('cmd/server/Dockerfile', 'utf8')).toMatch(/^FROM alpine:[\s\S]*EXPOSE 7\n/);
  });

  it('refuses what is no program, and overwrites nothing', async () => {
    await expect(generate(workspace('package server\n'))).rejects.toThrow(/no main package in cmd\/server/);
    const tree = workspace('package main\n');
    tree.write('cmd/server/Dockerfile', 'FROM mine\n');
    await expect(generate(tree)).rejects.toThrow(/cmd\/server has Dockerfile already/);
  });
});

describe('needsOf', () => {
  it.each([
    ['l, err := net.Listen("tcp", "127.0.0.1:8081")', 8081],
    ['s := http.Server{Addr: ":8082"}', 8082],
    ['http.ListenAndServeTLS("0.0.0.0:8443", c, k, nil)', 8443],
    ['// http.ListenAndServe(":8080", nil)', undefined],
    ['http.ListenAndServe(*addr, nil)', undefined],
    ['x := `//` ; http.ListenAndServe(":8083", nil)', 8083],
  ])('finds the port of %s', (source, port) => {
    expect(needsOf([source]).port).toBe(port);
  });

  it.each([
    ['time.LoadLocation("Europe/Berlin")', /time\/tzdata/],
    ['import _ "time/tzdata"\ntime.LoadLocation("Europe/Berlin")', undefined],
    ['http.Get("https://x")\nimport _ "golang.org/x/crypto/x509roots/fallback"', undefined],
    ['exec.Command("git")', /other programs/],
    ['os.ReadFile("config.yml")', /"config.yml"/],
    ['os.ReadFile("/etc/hosts")', undefined],
    ['/* exec.Command("git") */', undefined],
  ])('gives advice where it is due: %s', (source, advice) => {
    const given = needsOf([source]).advice.join('\n');
    if (advice) expect(given).toMatch(advice);
    else expect(given).toBe('');
  });
});
