/** Commands that only the Go module proxy brings: ko, and buildx for what asks for BuildKit. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { root } from '../scripts/commands.mjs';

const folder = join(root, 'node_modules', '.cache', 'slim-go-bench');

/** Absolute path of ko: the one on the PATH, otherwise compiled once. @throws where it can't be had */
export function findKo() {
  return onPath('ko') ?? installed('ko', 'github.com/google/ko', 'v0.19.1');
}

/** A DOCKER_CONFIG whose `docker` knows buildx. @throws where it can't be had */
export function findBuildx() {
  const config = join(folder, 'docker');
  const plugin = join(config, 'cli-plugins', 'docker-buildx');
  if (!existsSync(plugin)) {
    const version = 'v0.38.2';
    // Its own build says which version it is, and who drives it asks for that.
    const stamp = `-ldflags=-X github.com/docker/buildx/version.Version=${version}`;
    const file = installed('buildx', 'github.com/docker/buildx/cmd/buildx', version, stamp);
    mkdirSync(dirname(plugin), { recursive: true });
    symlinkSync(file, plugin);
  }
  return config;
}

function onPath(name) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.map((one) => join(one, name)).find((file) => existsSync(file));
}

function installed(name, path, version, ...args) {
  const file = join(folder, name);
  if (existsSync(file)) return file;
  console.log(`compiling ${path}@${version}, once`);
  mkdirSync(folder, { recursive: true });
  const env = { ...process.env, GOBIN: folder, GOFLAGS: '' };
  const result = spawnSync('go', ['install', ...args, `${path}@${version}`], { env, encoding: 'utf8' });
  if (result.status !== 0)
    throw new Error(`go install ${path}@${version}: ${result.stderr?.trim().split('\n').at(-1)}`);
  return file;
}

/** What `find` finds, or why it doesn't. */
export function attempt(find) {
  try {
    return { found: find() };
  } catch (error) {
    return { missing: reasonOf(error) };
  }
}

/** One line of a failed command's output: the first that speaks of an error. */
export function reasonOf(error) {
  const lines = error.message.trim().split('\n');
  return (lines.find((line, index) => index > 0 && /error|not defined|denied|required/i.test(line)) ?? lines[0]).trim();
}
