/**
 * The tutorial's way, a multi-stage `docker build`, beside slim-go: one line changed, everything else warm. The base image
 * stands in for `golang`: busybox-static and this machine's Go, with an empty build cache as the real one has.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { label, removeImages } from './fleet-workspace.mjs';
import { median, milliseconds, ratio, spread, table, takeTurns, timed } from './samples.mjs';

const busybox = '/bin/busybox';
/** What share of the tutorial's time is enough. */
const goals = { hello: 0.3, http: 0.15 };
const base = `slim-go-bench-golang:${process.pid}`;

/** Why it can't be measured here; undefined where it can. */
export function tutorialNeeds() {
  if (!existsSync(busybox)) return `no ${busybox} (busybox-static), which the stand-in for the golang image is made of`;
  if (spawnSync('docker', ['version']).status !== 0) return 'no docker command, or none that reaches an engine';
  return undefined;
}

export async function tutorial(workspace, rounds) {
  return withTutorial(workspace, async (build) => {
    const rows = [];
    for (const name of Object.keys(workspace.apps)) {
      const afterEdit = (work) => () => {
        workspace.edit(name);
        return timed(work);
      };
      const samples = await takeTurns(rounds, {
        slim: afterEdit(() => workspace.dockerBuild(name)),
        docker: afterEdit(() => build(name)),
      });
      const { slim, docker: plain } = samples;
      const goal = goals[name];
      const verdict = median(ratio(slim, plain)) <= goal ? 'reached' : 'missed';
      rows.push([
        name,
        milliseconds(slim),
        milliseconds(plain),
        spread(ratio(slim, plain)),
        `${goal.toFixed(2)}: ${verdict}`,
      ]);
    }
    return table(
      [
        'one line changed, Nx daemon off',
        '`nx run <app>:docker-build`',
        "the tutorial's `docker build` (classic builder)",
        'ratio',
        'goal',
      ],
      rows,
    );
  });
}

/**
 * Does `work` with the tutorial's Dockerfile beside each app, and takes what it built out of the engine again.
 * @param work is given `build(name, reference)`, which runs `docker build`; the reference is `<app>:tutorial` by default
 */
export async function withTutorial(workspace, work) {
  const docker = (...args) => workspace.run('docker', args, { DOCKER_BUILDKIT: '0' });
  try {
    importBase(docker);
    workspace.write('.dockerignore', 'node_modules\n.nx\n**/dist\n*.tgz\n');
    for (const app of Object.values(workspace.apps)) workspace.write(`${app}/tutorial.Dockerfile`, dockerfile(app));
    return await work((name, reference = `${workspace.apps[name]}:tutorial`) =>
      docker('build', '-f', `${workspace.apps[name]}/tutorial.Dockerfile`, '-t', reference, '.'),
    );
  } finally {
    removeImages();
  }
}

function dockerfile(app) {
  return `FROM ${base} AS build
WORKDIR /src
COPY go.mod ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -o /app ./${app}

FROM scratch
LABEL ${label}
COPY --from=build /app /app
ENTRYPOINT ["/app"]
`;
}

function importBase(docker) {
  const folder = mkdtempSync(join(tmpdir(), 'slim-go-golang-'));
  try {
    const image = join(folder, 'root');
    for (const name of ['bin', 'tmp', 'root', 'usr/local']) mkdirSync(join(image, name), { recursive: true });
    copyFileSync(busybox, join(image, 'bin', 'busybox'));
    symlinkSync('busybox', join(image, 'bin', 'sh'));
    const goRoot = execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim();
    cpSync(goRoot, join(image, 'usr', 'local', 'go'), {
      recursive: true,
      filter: (file) => !/^(test|api|doc|misc|src\/cmd)$/.test(file.slice(goRoot.length + 1).replaceAll(sep, '/')),
    });
    const archive = join(folder, 'base.tar');
    execFileSync('tar', ['-c', '--owner=0', '--group=0', '--numeric-owner', '-f', archive, '-C', image, '.']);
    const changes = ['ENV PATH=/usr/local/go/bin:/bin', 'ENV GOTOOLCHAIN=local', 'ENV GOPROXY=off', `LABEL ${label}`];
    docker('import', ...changes.flatMap((change) => ['--change', change]), archive, base);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
