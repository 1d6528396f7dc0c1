//! The Vulkan half: a device, and a painter that owns a command pool on it.
//!
//! Vulkan is a foreign interface, hence the unsafe code. The rules that it relies on: an object is
//! destroyed before what it was made of, and not while the device may use it; and a command pool, with
//! all that comes from it, is used by one thread at a time, which `&mut self` sees to.

use std::error::Error;
use std::ffi::CStr;
use std::slice;
use std::sync::Arc;

use ash::{Device, Entry, Instance, vk};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Pixels along a side of the image.
pub(crate) const SIDE: usize = 256;
/// Pixels along a side of a tile.
pub(crate) const TILE: usize = 16;
/// How many tiles there are.
pub(crate) const TILES: usize = (SIDE / TILE) * (SIDE / TILE);

/// A pixel is a number of 32 bits.
const FORMAT: vk::Format = vk::Format::R32_UINT;
const TILE_BYTES: u64 = (TILE * TILE * 4) as u64;
const IMAGE_BYTES: u64 = (SIDE * SIDE * 4) as u64;

/// The first device that can be had.
pub(crate) struct Gpu {
    device: Device,
    memory: vk::PhysicalDeviceMemoryProperties,
    family: u32,
    instance: Instance,
    // The last to go: it is the loader.
    _entry: Entry,
}

impl Gpu {
    /// Opens it, and says what it is called.
    pub(crate) fn open() -> Result<(Self, String)> {
        // SAFETY: the loader is a Vulkan loader; it is kept for as long as anything of it.
        let entry = unsafe { Entry::load() }.map_err(|error| {
            format!("there is no Vulkan loader ({error}): apt-get install libvulkan1 mesa-vulkan-drivers")
        })?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_1);
        let wish = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: the wish is whole; the instance is destroyed when the `Gpu` goes.
        let instance = unsafe { entry.create_instance(&wish, None) }.map_err(|error| {
            format!("no Vulkan driver ({error}): apt-get install mesa-vulkan-drivers")
        })?;
        // SAFETY: the instance is there.
        let found = unsafe { instance.enumerate_physical_devices() }?;
        let Some(physical) = found.first().copied() else {
            // SAFETY: nothing was made of it.
            unsafe { instance.destroy_instance(None) };
            return Err("there is no Vulkan device: apt-get install mesa-vulkan-drivers".into());
        };
        // SAFETY: the device is one of the instance's.
        let (properties, families, memory) = unsafe {
            (
                instance.get_physical_device_properties(physical),
                instance.get_physical_device_queue_family_properties(physical),
                instance.get_physical_device_memory_properties(physical),
            )
        };
        // Families that draw can copy as well.
        let draws = |family: &vk::QueueFamilyProperties| {
            family.queue_flags.intersects(vk::QueueFlags::GRAPHICS | vk::QueueFlags::COMPUTE)
        };
        let family =
            families.iter().position(draws).ok_or("the device neither draws nor computes")?;
        let queues = [vk::DeviceQueueCreateInfo::default()
            .queue_family_index(family as u32)
            .queue_priorities(&[1.0])];
        let wish = vk::DeviceCreateInfo::default().queue_create_infos(&queues);
        // SAFETY: the family is one of the device's; it is destroyed before the instance.
        let device = unsafe { instance.create_device(physical, &wish, None) }?;
        let name = properties.device_name_as_c_str().map(CStr::to_string_lossy);
        let name = name.map_or_else(|_| "a device".to_owned(), |name| name.into_owned());
        Ok((Self { device, memory, family: family as u32, instance, _entry: entry }, name))
    }

    /// Memory of that kind, for something that requires it.
    fn allocate(
        &self,
        wanted: vk::MemoryRequirements,
        kind: vk::MemoryPropertyFlags,
    ) -> Result<vk::DeviceMemory> {
        let types = self.memory.memory_types_as_slice();
        let fits = |at: &usize| {
            wanted.memory_type_bits & 1 << at != 0 && types[*at].property_flags.contains(kind)
        };
        let index = (0..types.len()).find(fits).ok_or("the device has no such memory")?;
        let wish = vk::MemoryAllocateInfo::default()
            .allocation_size(wanted.size)
            .memory_type_index(index as u32);
        // SAFETY: the type is one of the device's.
        Ok(unsafe { self.device.allocate_memory(&wish, None) }?)
    }

    /// A buffer, and its memory.
    fn buffer(
        &self,
        bytes: u64,
        usage: vk::BufferUsageFlags,
        kind: vk::MemoryPropertyFlags,
    ) -> Result<(vk::Buffer, vk::DeviceMemory)> {
        let wish = vk::BufferCreateInfo::default().size(bytes).usage(usage);
        // SAFETY: buffer and memory are of this device, fresh, and fit each other.
        unsafe {
            let buffer = self.device.create_buffer(&wish, None)?;
            let memory = self.allocate(self.device.get_buffer_memory_requirements(buffer), kind)?;
            self.device.bind_buffer_memory(buffer, memory, 0)?;
            Ok((buffer, memory))
        }
    }

    /// The image, and its memory.
    fn image(&self) -> Result<(vk::Image, vk::DeviceMemory)> {
        let side = SIDE as u32;
        let wish = vk::ImageCreateInfo::default()
            .image_type(vk::ImageType::TYPE_2D)
            .format(FORMAT)
            .extent(vk::Extent3D { width: side, height: side, depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .usage(vk::ImageUsageFlags::TRANSFER_DST | vk::ImageUsageFlags::TRANSFER_SRC);
        // SAFETY: as for a buffer.
        unsafe {
            let image = self.device.create_image(&wish, None)?;
            let wanted = self.device.get_image_memory_requirements(image);
            let memory = self.allocate(wanted, vk::MemoryPropertyFlags::DEVICE_LOCAL)?;
            self.device.bind_image_memory(image, memory, 0)?;
            Ok((image, memory))
        }
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // SAFETY: painters keep the `Gpu`, so that none is left.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

/// Owns a command pool and an image. A paint is recorded, and submitted with many others.
pub(crate) struct Painter {
    gpu: Arc<Gpu>,
    queue: vk::Queue,
    pool: vk::CommandPool,
    commands: vk::CommandBuffer,
    done: vk::Fence,
    image: (vk::Image, vk::DeviceMemory),
    /// A place for each tile's colour.
    colours: (vk::Buffer, vk::DeviceMemory),
    /// The image as the processor reads it.
    copy: (vk::Buffer, vk::DeviceMemory),
    /// What is recorded and not yet submitted: each tile once.
    recorded: Vec<vk::BufferImageCopy>,
    is_recorded: [bool; TILES],
    /// The first thing that went wrong: told with the image.
    failed: Option<vk::Result>,
}

impl Painter {
    pub(crate) fn new(gpu: Arc<Gpu>) -> Result<Self> {
        use vk::{BufferUsageFlags as Use, MemoryPropertyFlags as Memory};
        let image = gpu.image()?;
        let colours = gpu.buffer(
            TILE_BYTES * TILES as u64,
            Use::TRANSFER_DST | Use::TRANSFER_SRC,
            Memory::DEVICE_LOCAL,
        )?;
        let readable = Memory::HOST_VISIBLE | Memory::HOST_COHERENT;
        let copy = gpu.buffer(IMAGE_BYTES, Use::TRANSFER_DST, readable)?;
        let wish = vk::CommandPoolCreateInfo::default().queue_family_index(gpu.family);
        // SAFETY: all is made of this device, and goes before it.
        let (queue, pool, commands, done) = unsafe {
            let pool = gpu.device.create_command_pool(&wish, None)?;
            let wish =
                vk::CommandBufferAllocateInfo::default().command_pool(pool).command_buffer_count(1);
            (
                gpu.device.get_device_queue(gpu.family, 0),
                pool,
                gpu.device.allocate_command_buffers(&wish)?[0],
                gpu.device.create_fence(&vk::FenceCreateInfo::default(), None)?,
            )
        };
        let recorded = Vec::with_capacity(TILES);
        let mut this = Self {
            gpu,
            queue,
            pool,
            commands,
            done,
            image,
            colours,
            copy,
            recorded,
            is_recorded: [false; TILES],
            failed: None,
        };
        this.lay_out()?;
        Ok(this)
    }

    /// Gives a tile a colour.
    pub(crate) fn paint(&mut self, tile: usize, colour: u32) {
        let painted = if self.is_recorded[tile] { self.submit() } else { Ok(()) };
        let painted = painted.and_then(|()| self.record(tile, colour));
        self.failed = self.failed.or(painted.err());
    }

    fn record(&mut self, tile: usize, colour: u32) -> std::result::Result<(), vk::Result> {
        if self.recorded.is_empty() {
            self.begin()?;
        }
        let offset = tile as u64 * TILE_BYTES;
        // SAFETY: the command buffer is being recorded; the tile's place is within the buffer.
        unsafe {
            let device = &self.gpu.device;
            device.cmd_fill_buffer(self.commands, self.colours.0, offset, TILE_BYTES, colour);
        }
        let (x, y) = (tile % (SIDE / TILE) * TILE, tile / (SIDE / TILE) * TILE);
        self.recorded.push(region(offset, x, y, TILE));
        self.is_recorded[tile] = true;
        Ok(())
    }

    fn begin(&self) -> std::result::Result<(), vk::Result> {
        let once = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        let device = &self.gpu.device;
        // SAFETY: the pool is used by this thread alone, and nothing of it runs: `run` waits.
        unsafe {
            device.reset_command_pool(self.pool, vk::CommandPoolResetFlags::empty())?;
            device.begin_command_buffer(self.commands, &once)
        }
    }

    /// Runs what is recorded, and waits for its end.
    fn run(&self) -> std::result::Result<(), vk::Result> {
        let (device, commands) = (&self.gpu.device, [self.commands]);
        let work = [vk::SubmitInfo::default().command_buffers(&commands)];
        // SAFETY: the command buffer is recorded, and used again only after the fence. The queue is
        // this thread's: painters of one device follow one another.
        unsafe {
            device.end_command_buffer(self.commands)?;
            device.queue_submit(self.queue, &work, self.done)?;
            device.wait_for_fences(&[self.done], true, u64::MAX)?;
            device.reset_fences(&[self.done])
        }
    }

    /// Puts the colours that are recorded into the image.
    fn submit(&mut self) -> std::result::Result<(), vk::Result> {
        if self.recorded.is_empty() {
            return Ok(());
        }
        self.after_transfers();
        // SAFETY: the command buffer is being recorded; each region is within buffer and image.
        unsafe {
            self.gpu.device.cmd_copy_buffer_to_image(
                self.commands,
                self.colours.0,
                self.image.0,
                vk::ImageLayout::GENERAL,
                &self.recorded,
            );
        }
        self.recorded.clear();
        self.is_recorded = [false; TILES];
        self.run()
    }

    /// What is recorded next sees what was transferred before.
    fn after_transfers(&self) {
        let barrier = [vk::MemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::TRANSFER_WRITE)
            .dst_access_mask(vk::AccessFlags::TRANSFER_READ | vk::AccessFlags::HOST_READ)];
        let (from, to) = (vk::PipelineStageFlags::TRANSFER, vk::PipelineStageFlags::HOST);
        // SAFETY: the command buffer is being recorded.
        unsafe {
            self.gpu.device.cmd_pipeline_barrier(
                self.commands,
                from,
                from | to,
                vk::DependencyFlags::empty(),
                &barrier,
                &[],
                &[],
            );
        }
    }

    /// Gives the image the layout in which it stays.
    fn lay_out(&mut self) -> Result<()> {
        self.begin()?;
        let barrier = [vk::ImageMemoryBarrier::default()
            .dst_access_mask(vk::AccessFlags::TRANSFER_WRITE)
            .new_layout(vk::ImageLayout::GENERAL)
            .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
            .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
            .image(self.image.0)
            .subresource_range(vk::ImageSubresourceRange {
                aspect_mask: vk::ImageAspectFlags::COLOR,
                base_mip_level: 0,
                level_count: 1,
                base_array_layer: 0,
                layer_count: 1,
            })];
        // SAFETY: the command buffer is being recorded, and the image is this painter's.
        unsafe {
            self.gpu.device.cmd_pipeline_barrier(
                self.commands,
                vk::PipelineStageFlags::TOP_OF_PIPE,
                vk::PipelineStageFlags::TRANSFER,
                vk::DependencyFlags::empty(),
                &[],
                &[],
                &barrier,
            );
        }
        Ok(self.run()?)
    }

    /// The image as it is now, row by row.
    ///
    /// # Errors
    /// The first thing that went wrong since the painter was made.
    pub(crate) fn image(&mut self) -> Result<Vec<u32>> {
        self.submit()?;
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        self.begin()?;
        let whole = [region(0, 0, 0, SIDE)];
        // SAFETY: the command buffer is being recorded; the region is the whole of both.
        unsafe {
            let (from, layout) = (self.image.0, vk::ImageLayout::GENERAL);
            let device = &self.gpu.device;
            device.cmd_copy_image_to_buffer(self.commands, from, layout, self.copy.0, &whole);
        }
        self.after_transfers();
        self.run()?;
        let (device, memory, all) = (&self.gpu.device, self.copy.1, vk::MemoryMapFlags::empty());
        // SAFETY: the memory can be mapped, is as long as the image, and nothing writes to it now.
        unsafe {
            let pixels = device.map_memory(memory, 0, IMAGE_BYTES, all)?.cast::<u32>();
            let image = slice::from_raw_parts(pixels, SIDE * SIDE).to_vec();
            device.unmap_memory(memory);
            Ok(image)
        }
    }
}

/// A square of the image, and where it lies in a buffer.
fn region(offset: u64, x: usize, y: usize, side: usize) -> vk::BufferImageCopy {
    vk::BufferImageCopy {
        buffer_offset: offset,
        buffer_row_length: 0,
        buffer_image_height: 0,
        image_subresource: vk::ImageSubresourceLayers {
            aspect_mask: vk::ImageAspectFlags::COLOR,
            mip_level: 0,
            base_array_layer: 0,
            layer_count: 1,
        },
        image_offset: vk::Offset3D { x: x as i32, y: y as i32, z: 0 },
        image_extent: vk::Extent3D { width: side as u32, height: side as u32, depth: 1 },
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        let device = &self.gpu.device;
        // SAFETY: nothing runs on the device, for `run` waits; all is this painter's.
        unsafe {
            device.destroy_fence(self.done, None);
            device.destroy_command_pool(self.pool, None);
            device.destroy_image(self.image.0, None);
            device.free_memory(self.image.1, None);
            for (buffer, memory) in [self.colours, self.copy] {
                device.destroy_buffer(buffer, None);
                device.free_memory(memory, None);
            }
        }
    }
}
