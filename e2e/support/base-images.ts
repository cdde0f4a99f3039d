/**
 * Stand-ins for the base images that no outside registry is at hand for. `golang:<version>-alpine` is busybox-static and
 * this machine's Go, without a C compiler, git or apk; `alpine:<version>` is busybox-static alone. They have what a shell
 * step and `go build` take, and the environment of the real ones but for GOPROXY=off: there is no network in a build
 * here, so a module of somebody else must be vendored. golang's build cache is warm, which changes time and nothing else.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, sep } from 'node:path';
import { docker, engineHost, imageIdOf } from './engine';
import { removeSuiteImages } from './small-image';

const busybox = '/bin/busybox';
/** A source tree's bulk that compiles nothing: the tools are in pkg/tool already. */
const unused = /^(?:test|api|doc|misc|src\/cmd|pkg\/obj)$|(?:^|\/)testdata$|_test\.go$/;

export class BaseImages {
  private readonly made: string[] = [];
  /** A label that every build on a stand-in inherits. */
  private readonly suite = `slim-go-base-${process.pid}`;

  /** Tags a stand-in as `reference` (`golang:1.26-alpine`, `alpine:3.22`) unless the engine has an image of that name. */
  provide(reference: string): void {
    if (imageIdOf(reference) !== undefined) return;
    const root = mkdtempSync(join(tmpdir(), 'slim-go-base-'));
    try {
      writeUserland(root);
      const isGolang = reference.startsWith('golang:');
      if (isGolang) writeGo(join(root, 'usr', 'local', 'go'));
      const environment = isGolang ? goEnvironment : ['PATH=/usr/local/bin:/usr/bin:/bin'];
      this.made.push(reference);
      importImage(root, reference, [...environment.map((variable) => `ENV ${variable}`), `LABEL suite=${this.suite}`]);
      if (isGolang) warmBuildCache(reference);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  }

  /** Removes what `provide` made, with the build steps that stand on it, and nothing that was there before. */
  remove(): void {
    if (this.made.splice(0).length > 0) removeSuiteImages(engineHost, this.suite);
  }
}

/** https://github.com/docker-library/golang/blob/master/Dockerfile-linux.template */
const goEnvironment = [
  'PATH=/go/bin:/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin',
  'GOPATH=/go',
  'GOTOOLCHAIN=local',
  'GOPROXY=off',
];

function writeUserland(root: string): void {
  for (const folder of ['bin', 'etc', 'root', 'usr/bin', 'usr/local/bin', 'tmp']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  chmodSync(join(root, 'tmp'), 0o1777);
  copyFileSync(busybox, join(root, 'bin', 'busybox'));
  for (const applet of execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
    if (applet !== 'busybox') symlinkSync('/bin/busybox', join(root, 'bin', basename(applet)));
  }
  writeFileSync(join(root, 'etc', 'passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(root, 'etc', 'group'), 'root:x:0:\n');
}

function writeGo(to: string): void {
  const from = execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim();
  cpSync(from, to, {
    recursive: true,
    filter: (file) => !unused.test(file.slice(from.length + 1).replaceAll(sep, '/')),
  });
}

/** @param changes Dockerfile instructions for the config */
function importImage(root: string, reference: string, changes: readonly string[]): void {
  const archive = `${root}.tar`;
  try {
    execFileSync('tar', ['-c', '--owner=0', '--group=0', '--numeric-owner', '-f', archive, '-C', root, '.']);
    docker('import', ...[...changes, 'CMD ["/bin/sh"]'].flatMap((change) => ['--change', change]), archive, reference);
  } finally {
    rmSync(archive, { force: true });
  }
}

/** Compiles once what the specs' programs import, and keeps the cache in the image. */
function warmBuildCache(reference: string): void {
  const program = 'package main\n\nimport (\n\t_ "errors"\n\t_ "fmt"\n\t_ "io"\n\t_ "os"\n)\n\nfunc main() {}\n';
  const script = `mkdir /tmp/w && cd /tmp/w && printf '${program.replaceAll('\n', '\\n').replaceAll('\t', '\\t')}' > main.go && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /dev/null main.go && cd / && rm -r /tmp/w`;
  const container = docker('create', reference, 'sh', '-c', script);
  try {
    docker('start', '-a', container);
    docker('commit', '--change', 'CMD ["/bin/sh"]', container, reference);
  } finally {
    docker('rm', '-f', container);
  }
}
