/** A registry on this machine, thrown away with all that it holds. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

/** Why there is none here; undefined where there is. */
export function registryNeeds() {
  return spawnSync('docker-registry', ['--version']).error ? 'no docker-registry' : undefined;
}

/** Debian's docker-registry on loopback. */
export class Registry {
  static async start() {
    const registry = new Registry();
    registry.folder = mkdtempSync(join(tmpdir(), 'slim-go-bench-registry-'));
    const port = await new Promise((resolve) => {
      const server = createServer().listen(0, '127.0.0.1', () => {
        const { port: free } = server.address();
        server.close(() => resolve(free));
      });
    });
    const config = join(registry.folder, 'config.yml');
    writeFileSync(
      config,
      `version: 0.1\nlog: { level: error, accesslog: { disabled: true } }\nstorage: { filesystem: { rootdirectory: ${join(registry.folder, 'data')} } }\nhttp: { addr: "127.0.0.1:${port}" }\n`,
    );
    registry.child = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
    registry.domain = `localhost:${port}`;
    for (let attempt = 0; attempt < 100; attempt++) {
      const isOpen = await new Promise((resolve) => {
        const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
        socket.on('connect', () => socket.destroy());
      });
      if (isOpen) return registry;
      await wait(50);
    }
    registry.stop();
    throw new Error('docker-registry does not answer');
  }

  /** Of all blobs: compressed layers, configs, manifests. */
  sizeBytes() {
    const files = readdirSync(join(this.folder, 'data'), { recursive: true }).filter((file) => file.endsWith('data'));
    const sizes = files.map((file) => statSync(join(this.folder, 'data', file))).filter((stat) => stat.isFile());
    return sizes.reduce((sum, { size }) => sum + size, 0);
  }

  stop() {
    this.child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
