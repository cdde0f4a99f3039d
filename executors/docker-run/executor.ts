import { homedir } from 'node:os';
import type { ExecutorContext } from '@nx/devkit';
import { parseCpus, parseMemory, parsePort, parseVolume } from '../../docker/container-options';
import { connectEngine } from '../../docker/engine';
import { ensureLoaded } from '../../docker/load';
import { type RunOptions, runContainer } from '../../docker/run';
import { SlimGoError } from '../../errors';
import { readRecord } from '../../image/record-file';
import { programArguments } from '../arguments';
import { readEnvFiles } from '../env-file';
import { currentProject, imageFiles } from '../project';
import { runExecutor } from '../report';
import type { DockerRunOptions } from './schema';
import schema from './schema.json';

type Options = Required<Omit<DockerRunOptions, Optional>> & Pick<DockerRunOptions, Optional>;
type Optional = 'name' | 'network' | 'user' | 'memory' | 'cpus';

const optionNames: ReadonlySet<string> = new Set(Object.keys(schema.properties));

/** Runs the image of the `image` target, which the engine gets first if it lacks it or has another under its tag. */
export default function dockerRun(options: Options, context: ExecutorContext): Promise<{ success: boolean }> {
  return runExecutor(async (signal) => {
    const project = currentProject(context);
    const resolved = await resolveOptions(options, context.root);
    const files = imageFiles(project);
    const record = await readRecord(files.record, files.archive);
    const engine = await connectEngine({ env: process.env, home: homedir(), platform: process.platform });
    const { imageId, outcome } = await ensureLoaded(engine, {
      record,
      archivePath: files.archive,
      references: record.references,
      signal,
    });
    // On standard error: standard output is the program's alone.
    if (outcome !== 'present') process.stderr.write(`${record.references.join(', ')}: ${outcome}\n`);
    const { exitCode, hint } = await runContainer(
      engine,
      { ...resolved, image: imageId, labels: { 'org.slim-go.project': project.name } },
      { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, signals: process },
    );
    if (exitCode !== 0) {
      throw new SlimGoError('ENGINE_RUN_FAILED', `${project.name} exited with code ${exitCode}.`, hint ? { hint } : {});
    }
    return { success: true };
  });
}

/** @throws OPTION_INVALID */
async function resolveOptions(options: Options, workspace: string): Promise<Omit<RunOptions, 'image' | 'labels'>> {
  const fromFiles = await readEnvFiles(workspace, options.envFile);
  return {
    args: [...options.args, ...programArguments(options.__unparsed__, optionNames)],
    ports: options.ports.map(parsePort),
    env: [...fromFiles, ...Object.entries(options.env).map(([name, value]) => `${name}=${value}`)],
    volumes: options.volumes.map((volume) => parseVolume(volume, workspace)),
    name: options.name,
    network: options.network,
    user: options.user,
    readOnly: options.readOnly,
    memoryBytes: options.memory === undefined ? undefined : parseMemory(options.memory),
    nanoCpus: options.cpus === undefined ? undefined : parseCpus(options.cpus),
    detach: options.detach,
    rm: options.rm,
    tty: options.tty,
    stopTimeoutSeconds: options.stopTimeout,
  };
}
