import { spawn } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { readRecord } from '../../image/record-file';
import { currentProject, imageFiles } from '../project';
import { formatDuration, runExecutor } from '../report';
import { differences } from './compare';
import { copyWorkspace } from './copy';
import type { VerifyReproOptions } from './schema';

/** Builds the image again from a copy of the workspace, with empty caches, and compares. */
export default function verifyRepro(
  { imageTarget }: Required<VerifyReproOptions>,
  context: ExecutorContext,
): Promise<{ success: boolean }> {
  return runExecutor(async (signal) => {
    const started = performance.now();
    const project = currentProject(context);
    const files = imageFiles(project);
    const first = { record: await readRecord(files.record, files.archive), archive: files.archive };
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-verify-')));
    try {
      const copy = join(folder, 'another', 'workspace');
      copyWorkspace(context.root, copy);
      console.log('building again, in another folder and with empty caches ...');
      const task = [project.name, imageTarget, ...(context.configurationName ? [context.configurationName] : [])];
      await build(context.root, copy, task.join(':'), signal);
      const again = imageFiles({ ...project, folder: join(copy, project.root) });
      const second = { record: await readRecord(again.record, again.archive), archive: again.archive };
      const found = differences(first, second);
      if (found.length > 0) {
        throw new SlimGoError('NOT_REPRODUCIBLE', `The second build gave another image.\n${found.join('\n')}`, {
          hint: 'Look for times, paths, random values or the environment in what goes into these files. If you changed sources while it ran, run it again.',
        });
      }
      for (const { platform, manifestDigest } of second.record.platforms) console.log(`${platform}  ${manifestDigest}`);
      console.log(`the same twice, ${formatDuration(performance.now() - started)}`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    return { success: true };
  });
}

/** @throws NOT_REPRODUCIBLE with what the build said, ABORTED */
async function build(workspace: string, copy: string, task: string, signal: AbortSignal): Promise<void> {
  const nx = require.resolve('nx/bin/nx.js', { paths: [workspace] });
  // What Nx tells this task is not meant for another workspace.
  const inherited = Object.entries(process.env).filter(([name]) => !/^(NX_|FORCE_COLOR$)/.test(name));
  const child = spawn(process.execPath, [nx, 'run', task, '--skip-nx-cache', '--output-style=stream'], {
    cwd: copy,
    env: {
      ...Object.fromEntries(inherited),
      NX_DAEMON: 'false',
      NX_NO_CLOUD: 'true',
      NX_CACHE_DIRECTORY: join(copy, '..', 'nx-cache'),
      NX_WORKSPACE_DATA_DIRECTORY: join(copy, '..', 'nx-data'),
      GOCACHE: join(copy, '..', 'go-cache'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  const stop = () => child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  const exitCode = await new Promise<number | null>((resolve, reject) =>
    child.on('error', reject).on('close', resolve),
  );
  signal.removeEventListener('abort', stop);
  if (signal.aborted) throw new SlimGoError('ABORTED', 'Stopped while building the second time.');
  if (exitCode === 0) return;
  throw new SlimGoError(
    'NOT_REPRODUCIBLE',
    `The second build failed.\n${Buffer.concat(chunks).toString('utf8').trimEnd()}`,
    {
      hint: 'What it lacks is in your workspace, but neither in git nor made by the build: add it, or let a target make it.',
    },
  );
}
