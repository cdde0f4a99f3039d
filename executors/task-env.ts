import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Task as NxTask } from '@nx/devkit';
import type Dotenv from 'dotenv';
import type DotenvExpand from 'dotenv-expand';

/**
 * The environment that Nx gives a task which runs by itself: the process's, without what the workspace's own .env files
 * put there, then the .env files of the task. A batch's process has none of these, though the task's hash counts them.
 * https://nx.dev/docs/guides/tasks--caching/define-environment-variables
 */
export function environmentOf(
  { target, projectRoot = '.' }: NxTask,
  root: string,
  processEnv: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  const env = { ...processEnv };
  if (env.NX_LOAD_DOT_ENV_FILES !== 'true') return env;
  for (const file of ['.env', '.local.env', '.env.local']) {
    for (const [name, value] of Object.entries(load([join(root, file)], {}))) {
      if (env[name] === value) delete env[name];
    }
  }
  const { target: name, configuration } = target;
  const kinds = [...(configuration ? [`${name}.${configuration}`, configuration] : []), name, undefined];
  const files = [projectRoot, '.'].flatMap((folder) => kinds.flatMap((kind) => variants(join(root, folder), kind)));
  return load(files, env);
}

/** Strongest first. */
function variants(folder: string, kind: string | undefined): string[] {
  const names =
    kind === undefined
      ? ['.env.local', '.local.env', '.env']
      : [`.env.${kind}.local`, `.env.${kind}`, `.${kind}.local.env`, `.${kind}.env`];
  return names.map((name) => join(folder, name));
}

/** Adds what the files say to `env`, which wins. Files that are not there count for nothing. */
function load(files: readonly string[], env: Record<string, string | undefined>): Record<string, string | undefined> {
  const path = files.filter((file) => existsSync(file));
  if (path.length === 0) return env;
  // Loaded here: most workspaces have none.
  const { config } = require('dotenv') as typeof Dotenv;
  const { expand } = require('dotenv-expand') as typeof DotenvExpand;
  const processEnv = env as Record<string, string>;
  expand({ ...config({ path, processEnv }), processEnv });
  return env;
}
