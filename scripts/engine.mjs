// Finds the container engine that the tests use, or starts a private one that is stopped and deleted afterwards.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { mustRun, run } from './commands.mjs';

/** The readers that the tests compare with, and what makes a stand-in base image. */
const readers = ['skopeo', 'umoci', 'podman', 'docker-registry', 'busybox-static'];

const onPath = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;
const isRootOnDebian = () => process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');

function aptInstall(packages) {
  console.log(`Installing ${packages.join(', ')} ...`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const args = ['install', '-y', '-qq', '--no-install-recommends', ...packages];
  if (run('apt-get', args, { env, quiet: true }).status === 0) return;
  mustRun('apt-get', ['update', '-qq'], { env, quiet: true });
  mustRun('apt-get', args, { env, quiet: true });
}

/** Whether an engine answers `GET /_ping` at `host` (`unix://...`, or `tcp://...` without TLS). */
function answers(host) {
  const target = host.startsWith('unix://')
    ? { socketPath: host.slice('unix://'.length) }
    : { host: new URL(host).hostname, port: new URL(host).port };
  return new Promise((resolve) => {
    const ping = request({ ...target, path: '/_ping', timeout: 3000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.on('error', () => resolve(false));
    ping.on('timeout', () => ping.destroy());
    ping.end();
  });
}

async function startPrivateEngine() {
  const folder = mkdtempSync(join(tmpdir(), 'slim-go-engine-'));
  const host = `unix://${join(folder, 'docker.sock')}`;
  const log = join(folder, 'log');
  const output = openSync(log, 'w');
  const daemon = spawn(
    'dockerd',
    [
      ...['--host', host, '--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')],
      ...['--pidfile', join(folder, 'pid')],
    ],
    { stdio: ['ignore', output, output], detached: true },
  );
  const exited = new Promise((resolve) => daemon.once('exit', resolve));
  const stop = async () => {
    daemon.kill('SIGTERM');
    await Promise.race([exited, delay(20_000)]);
    daemon.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  for (let attempt = 0; attempt < 150 && daemon.exitCode === null; attempt++) {
    if (await answers(host)) return { host, stop };
    await delay(200);
  }
  const why = readFileSync(log, 'utf8').split('\n').slice(-15).join('\n');
  await stop();
  throw new Error(`dockerd did not start:\n${why}`);
}

/**
 * The engine for the tests: the one that answers already, else on Debian and Ubuntu as root a private dockerd.
 * @returns {Promise<{host: string, stop: () => Promise<void>} | undefined>} undefined where none can be had
 */
export async function findOrStartEngine() {
  const debian = isRootOnDebian();
  const missing = debian ? readers.filter((reader) => !onPath(reader.replace('-static', ''))) : [];
  if (missing.length > 0) aptInstall(missing);

  const host = process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock';
  if (/^(unix|tcp):/.test(host) && (await answers(host))) {
    console.log(`Container engine: ${host}`);
    return { host, stop: async () => {} };
  }
  if (process.env.DOCKER_HOST || !debian) return undefined;
  if (!onPath('dockerd')) aptInstall(['docker.io']);
  const engine = await startPrivateEngine();
  console.log(`Container engine: a private dockerd at ${engine.host}`);
  return engine;
}
