/** `nx run hello:docker-build` beside what Nx and Go cost without slim-go. */
import { join } from 'node:path';
import { less, median, milliseconds, table, takeTurns, timed } from './samples.mjs';

/** One line of main.go changed, until the engine has the new image. */
export async function oneLineChange(workspace, rounds) {
  const app = workspace.apps.hello;
  const afterEdit = (work) => () => {
    workspace.edit('hello');
    return timed(work);
  };
  const noop = afterEdit(() => workspace.nx('run', `${app}:noop-docker-build`));
  const goBuild = ['build', '-trimpath', '-buildvcs=false', '-ldflags=-s -w', '-o', join('dist', 'bare')];
  const samples = await takeTurns(rounds, {
    slim: afterEdit(() => expectText(workspace.dockerBuild('hello'), ': loaded (')),
    noop,
    go: afterEdit(() => workspace.run('go', [...goBuild, `./${app}`], { CGO_ENABLED: '0', GOOS: 'linux' })),
    again: noop,
    // The image that `slim` left, taken out and put in again.
    load: () => {
      workspace.run('docker', ['rmi', app]);
      return timed(() => workspace.run('docker', ['load', '-i', join(app, 'dist', 'image', 'image.tar')]));
    },
  });
  const over = less(samples.slim, samples.go, samples.noop);
  return `${table(
    ['one line changed (hello), Nx daemon off', 'time'],
    [
      ['`nx run hello:docker-build`, image loaded', milliseconds(samples.slim)],
      ['bare `go build`', milliseconds(samples.go)],
      ['Nx with three executors that do nothing', milliseconds(samples.noop)],
      ['**over these two (goal: 300 ms)**', `**${milliseconds(over)}**`],
      ['of which the engine takes for any archive: `docker load -i image.tar`', milliseconds(samples.load)],
      ['noise: the same no-op run less itself', milliseconds(less(samples.again, samples.noop))],
    ],
  )}\n\n${verdict(median(over), 300)}`;
}

/** Nothing changed and the image is in the engine. */
export async function nothingChanged(workspace, rounds) {
  const app = workspace.apps.hello;
  workspace.dockerBuild('hello');
  const noop = () => timed(() => workspace.nx('run', `${app}:noop-after-image`));
  const samples = await takeTurns(rounds, {
    slim: () => timed(() => expectText(workspace.nx('run', `${app}:docker-build`), ': already there (')),
    noop,
    again: noop,
  });
  const over = less(samples.slim, samples.noop);
  return `${table(
    ['everything cached, image present (hello), Nx daemon off', 'time'],
    [
      ['`nx run hello:docker-build`', milliseconds(samples.slim)],
      ['the same with an executor that does nothing in its place', milliseconds(samples.noop)],
      ['**over it (goal: 60 ms)**', `**${milliseconds(over)}**`],
      ['noise: the same no-op run less itself', milliseconds(less(samples.again, samples.noop))],
    ],
  )}\n\n${verdict(median(over), 60)}`;
}

function verdict(medianMs, goalMs) {
  return medianMs <= goalMs
    ? 'Goal reached.'
    : `Goal missed by ${(medianMs - goalMs).toFixed(0)} ms; see the noise before reading much into it.`;
}

/** A measurement of something else than was meant is no result. */
function expectText(output, text) {
  if (!output.includes(text)) throw new Error(`expected "${text}" in:\n${output}`);
}
